-- The schedule: its entries, and the history of their slots.
--
-- Entries may be written by hand (INSERT with name, task and schedule; UPDATE; DELETE): beats notice it at once, and a row
-- that they cannot read is disabled and says why in `last_error`. `schedule` is JSON such as
-- {"kind":"crontab","expression":"30 7 * * mon","zone":"Europe/Berlin"}; docs/schedules.md has the others. Instants that are
-- numbers are microseconds since 1970.

CREATE TABLE lovage_schedule (
    name        TEXT PRIMARY KEY NOT NULL,
    task        TEXT NOT NULL,
    args        TEXT NOT NULL DEFAULT '[]',       -- JSON list
    kwargs      TEXT NOT NULL DEFAULT '{}',       -- JSON object; arguments are given in one of the two
    schedule    TEXT NOT NULL,
    queue       TEXT NOT NULL DEFAULT 'default',
    priority    INTEGER NOT NULL DEFAULT 0,       -- 0 to 9, 9 first
    headers     TEXT NOT NULL DEFAULT '{}',       -- JSON object of texts
    expires     TEXT,                             -- a duration such as 10m, or an instant
    start_time  TEXT,                             -- an instant such as 2026-11-23T13:00:00Z
    end_time    TEXT,
    one_off     INTEGER NOT NULL DEFAULT 0,
    enabled     INTEGER NOT NULL DEFAULT 1,
    description TEXT NOT NULL DEFAULT '',
    misfire     TEXT NOT NULL DEFAULT 'once',     -- skip, once, all(N)
    overlap     TEXT NOT NULL DEFAULT 'allow',    -- allow, skip
    jitter      TEXT,                             -- a duration such as 30s

    -- From here on Lovage writes.
    revision        INTEGER NOT NULL DEFAULT 1,   -- grows with each edit
    -- Slots up to it are done with.
    done_until      INTEGER NOT NULL DEFAULT (CAST(unixepoch('subsec') * 1000000 AS INTEGER)),
    next_run_at     INTEGER DEFAULT (CAST(unixepoch('subsec') * 1000000 AS INTEGER)),
    last_run_at     INTEGER,
    last_task_id    BLOB,                         -- 16 bytes
    total_run_count INTEGER NOT NULL DEFAULT 0,
    last_error      TEXT,
    rewound_at      INTEGER,                      -- where it was moved back to when the clock had been ahead
    rewound_from    INTEGER,
    disabled_by     TEXT,                         -- done, gone, bad; null where a person did it
    source          TEXT,                         -- who declares it; null where a person made it
    declared        TEXT,                         -- what the source declared last, as JSON
    edited          INTEGER NOT NULL DEFAULT 0,
    gone            INTEGER NOT NULL DEFAULT 0    -- no longer declared
) STRICT;
CREATE INDEX lovage_schedule_due ON lovage_schedule (next_run_at, name) WHERE enabled;
CREATE INDEX lovage_schedule_done ON lovage_schedule (done_until) WHERE enabled;
CREATE INDEX lovage_schedule_task ON lovage_schedule (task, name);
CREATE INDEX lovage_schedule_disabled ON lovage_schedule (name) WHERE NOT enabled;
CREATE INDEX lovage_schedule_source ON lovage_schedule (source) WHERE source IS NOT NULL;

-- What became of slots. A row stands for one, or for all from `slot` to `last_slot` where they were passed over together.
CREATE TABLE lovage_firing (
    name      TEXT NOT NULL,
    slot      INTEGER NOT NULL,
    fate      TEXT NOT NULL,    -- fired; manual; passed over: misfire, overlap, disabled, edited, refused
    last_slot INTEGER NOT NULL,
    at        INTEGER NOT NULL, -- when it was decided
    task_id   BLOB,             -- what was published, or what was in the way
    note      TEXT,
    PRIMARY KEY (name, slot, fate)
) STRICT, WITHOUT ROWID;
CREATE INDEX lovage_firing_at ON lovage_firing (at);
CREATE INDEX lovage_firing_range ON lovage_firing (name, slot) WHERE last_slot > slot;

-- The identity of this store: a part of the fences, unique keys and task ids of what its schedule sends.
CREATE TABLE lovage_schedule_store (id BLOB NOT NULL CHECK (length(id) = 16)) STRICT;
INSERT INTO lovage_schedule_store (id) VALUES (randomblob(16));

-- Counts edits: who waits for one looks here.
CREATE TABLE lovage_schedule_change (n INTEGER NOT NULL) STRICT;
INSERT INTO lovage_schedule_change (n) VALUES (0);

CREATE TRIGGER lovage_schedule_inserted AFTER INSERT ON lovage_schedule BEGIN
    UPDATE lovage_schedule_change SET n = n + 1;
END;
CREATE TRIGGER lovage_schedule_deleted AFTER DELETE ON lovage_schedule BEGIN
    UPDATE lovage_schedule_change SET n = n + 1;
END;
CREATE TRIGGER lovage_schedule_updated AFTER UPDATE OF revision ON lovage_schedule WHEN NEW.revision <> OLD.revision BEGIN
    UPDATE lovage_schedule_change SET n = n + 1;
END;

-- Edits by hand do not touch the revision: a beat then works out when the entry is due, from now on.
CREATE TRIGGER lovage_schedule_edited
AFTER UPDATE OF task, args, kwargs, schedule, queue, priority, headers, expires, start_time, end_time, one_off, enabled,
    description, misfire, overlap, jitter ON lovage_schedule
WHEN NEW.revision = OLD.revision AND
    (NEW.task, NEW.args, NEW.kwargs, NEW.schedule, NEW.queue, NEW.priority, NEW.headers, NEW.expires, NEW.start_time,
     NEW.end_time, NEW.one_off, NEW.enabled, NEW.description, NEW.misfire, NEW.overlap, NEW.jitter)
    IS NOT
    (OLD.task, OLD.args, OLD.kwargs, OLD.schedule, OLD.queue, OLD.priority, OLD.headers, OLD.expires, OLD.start_time,
     OLD.end_time, OLD.one_off, OLD.enabled, OLD.description, OLD.misfire, OLD.overlap, OLD.jitter)
BEGIN
    UPDATE lovage_schedule SET
        revision = OLD.revision + 1,
        done_until = max(OLD.done_until, CAST(unixepoch('subsec') * 1000000 AS INTEGER)),
        next_run_at = CASE WHEN NEW.enabled THEN CAST(unixepoch('subsec') * 1000000 AS INTEGER) END,
        edited = NEW.source IS NOT NULL,
        last_error = NULL,
        disabled_by = CASE WHEN NOT NEW.enabled THEN OLD.disabled_by END
    WHERE name = NEW.name;
END;
