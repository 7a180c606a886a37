-- The schedule: its entries, and the history of their slots.
--
-- Entries may be written by hand (INSERT with name, task and schedule; UPDATE; DELETE): beats notice it at once, and a row
-- that they cannot read is disabled and says why in `last_error`. `schedule` is JSON such as
-- {"kind":"crontab","expression":"30 7 * * mon","zone":"Europe/Berlin"}; docs/schedules.md has the others.

CREATE TABLE lovage_schedule (
    name        text COLLATE "C" PRIMARY KEY,
    task        text COLLATE "C" NOT NULL,
    args        text NOT NULL DEFAULT '[]',       -- JSON list
    kwargs      text NOT NULL DEFAULT '{}',       -- JSON object; arguments are given in one of the two
    schedule    text NOT NULL,
    queue       text NOT NULL DEFAULT 'default',
    priority    smallint NOT NULL DEFAULT 0,      -- 0 to 9, 9 first
    headers     text NOT NULL DEFAULT '{}',       -- JSON object of texts
    expires     text,                             -- a duration such as 10m, or an instant
    start_time  text,                             -- an instant such as 2026-11-23T13:00:00Z
    end_time    text,
    one_off     boolean NOT NULL DEFAULT false,
    enabled     boolean NOT NULL DEFAULT true,
    description text NOT NULL DEFAULT '',
    misfire     text NOT NULL DEFAULT 'once',     -- skip, once, all(N)
    overlap     text NOT NULL DEFAULT 'allow',    -- allow, skip
    jitter      text,                             -- a duration such as 30s

    -- From here on Lovage writes.
    revision        bigint NOT NULL DEFAULT 1,    -- grows with each edit
    done_until      timestamptz NOT NULL DEFAULT clock_timestamp(), -- slots up to it are done with
    next_run_at     timestamptz DEFAULT clock_timestamp(),
    last_run_at     timestamptz,
    last_task_id    uuid,
    total_run_count bigint NOT NULL DEFAULT 0,
    last_error      text,
    rewound_at      timestamptz,                  -- where it was moved back to when the clock had been ahead
    rewound_from    timestamptz,
    disabled_by     text,                         -- done, gone, bad; null where a person did it
    source          text,                         -- who declares it; null where a person made it
    declared        text,                         -- what the source declared last, as JSON
    edited          boolean NOT NULL DEFAULT false,
    gone            boolean NOT NULL DEFAULT false -- no longer declared
) WITH (autovacuum_vacuum_threshold = 2000, autovacuum_vacuum_scale_factor = 0.01);
CREATE INDEX lovage_schedule_due ON lovage_schedule (next_run_at, name) WHERE enabled;
CREATE INDEX lovage_schedule_done ON lovage_schedule (done_until) WHERE enabled;
CREATE INDEX lovage_schedule_task ON lovage_schedule (task, name);
CREATE INDEX lovage_schedule_disabled ON lovage_schedule (name) WHERE NOT enabled;
CREATE INDEX lovage_schedule_source ON lovage_schedule (source) WHERE source IS NOT NULL;

-- What became of slots. A row stands for one, or for all from `slot` to `last_slot` where they were passed over together.
CREATE TABLE lovage_firing (
    name      text COLLATE "C" NOT NULL,
    slot      timestamptz NOT NULL,
    fate      text COLLATE "C" NOT NULL, -- fired; manual; passed over: misfire, overlap, disabled, edited, refused
    last_slot timestamptz NOT NULL,
    at        timestamptz NOT NULL,      -- when it was decided
    task_id   uuid,                      -- what was published, or what was in the way
    note      text,
    PRIMARY KEY (name, slot, fate)
);
CREATE INDEX lovage_firing_at ON lovage_firing (at);
CREATE INDEX lovage_firing_range ON lovage_firing (name, slot) WHERE last_slot > slot;

-- The identity of this store: a part of the fences, unique keys and task ids of what its schedule sends.
CREATE TABLE lovage_schedule_store (id uuid NOT NULL);
INSERT INTO lovage_schedule_store (id) VALUES (gen_random_uuid());

-- Where beats listen: channels belong to the whole database, schedules to a schema.
CREATE FUNCTION lovage_schedule_channel() RETURNS text LANGUAGE sql STABLE SET search_path FROM CURRENT AS $$
    SELECT 'lovage_schedule_' || 'lovage_schedule'::regclass::oid
$$;

CREATE FUNCTION lovage_schedule_tell() RETURNS trigger LANGUAGE plpgsql SET search_path FROM CURRENT AS $$
BEGIN
    PERFORM pg_notify(lovage_schedule_channel(), '');
    RETURN NULL;
END $$;

-- Edits by hand do not touch the revision: a beat then works out when the entry is due, from now on.
CREATE FUNCTION lovage_schedule_edited() RETURNS trigger LANGUAGE plpgsql SET search_path FROM CURRENT AS $$
BEGIN
    NEW.revision := OLD.revision + 1;
    NEW.done_until := greatest(OLD.done_until, clock_timestamp());
    NEW.next_run_at := CASE WHEN NEW.enabled THEN clock_timestamp() END;
    NEW.edited := NEW.source IS NOT NULL;
    NEW.last_error := NULL;
    NEW.disabled_by := CASE WHEN NOT NEW.enabled THEN OLD.disabled_by END;
    RETURN NEW;
END $$;

CREATE TRIGGER lovage_schedule_edited BEFORE UPDATE ON lovage_schedule FOR EACH ROW
    WHEN (NEW.revision = OLD.revision AND
          (NEW.task, NEW.args, NEW.kwargs, NEW.schedule, NEW.queue, NEW.priority, NEW.headers, NEW.expires, NEW.start_time,
           NEW.end_time, NEW.one_off, NEW.enabled, NEW.description, NEW.misfire, NEW.overlap, NEW.jitter)
          IS DISTINCT FROM
          (OLD.task, OLD.args, OLD.kwargs, OLD.schedule, OLD.queue, OLD.priority, OLD.headers, OLD.expires, OLD.start_time,
           OLD.end_time, OLD.one_off, OLD.enabled, OLD.description, OLD.misfire, OLD.overlap, OLD.jitter))
    EXECUTE FUNCTION lovage_schedule_edited();

CREATE TRIGGER lovage_schedule_told AFTER INSERT OR DELETE OR TRUNCATE ON lovage_schedule
    FOR EACH STATEMENT EXECUTE FUNCTION lovage_schedule_tell();
CREATE TRIGGER lovage_schedule_updated AFTER UPDATE ON lovage_schedule FOR EACH ROW
    WHEN (NEW.revision <> OLD.revision) EXECUTE FUNCTION lovage_schedule_tell();
