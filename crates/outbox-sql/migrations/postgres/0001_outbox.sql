-- The outbox: messages that an application wrote in transactions of its own, until a relay has published them.

CREATE TABLE lovage_outbox (
    -- In the order of writing; transactions may commit in another one.
    seq        bigint GENERATED ALWAYS AS IDENTITY PRIMARY KEY,
    -- The task's.
    id         uuid NOT NULL,
    queue      text NOT NULL,
    -- JSON: priority, delay, unique key.
    options    text NOT NULL,
    body       bytea NOT NULL,
    written_at timestamptz NOT NULL DEFAULT clock_timestamp(),
    -- Whether it wakes an idle relay at commit: the first of its statement does.
    wakes      boolean NOT NULL DEFAULT true
) WITH (autovacuum_vacuum_threshold = 1000, autovacuum_vacuum_scale_factor = 0.01);

-- Rows that no relay can read, with the reason. Put back into `lovage_outbox` what was repaired.
CREATE TABLE lovage_outbox_refused (
    seq        bigint PRIMARY KEY,
    id         uuid NOT NULL,
    queue      text NOT NULL,
    options    text NOT NULL,
    body       bytea NOT NULL,
    written_at timestamptz NOT NULL,
    reason     text NOT NULL,
    refused_at timestamptz NOT NULL DEFAULT clock_timestamp()
);

-- Has a row while a relay waits to be woken. A notification makes commits wait for each other, so there is one for each
-- time that a relay waits, and not one for each commit. Unlogged: who waited is gone after a crash.
CREATE UNLOGGED TABLE lovage_outbox_idle (one boolean PRIMARY KEY CHECK (one));

-- Where relays listen: channels belong to the whole database, outboxes to a schema.
CREATE FUNCTION lovage_outbox_channel() RETURNS text LANGUAGE sql STABLE SET search_path FROM CURRENT AS $$
    SELECT 'lovage_outbox_' || 'lovage_outbox'::regclass::oid
$$;

-- At the commit of a transaction that wrote. Its lock is shared with others who commit and exclusive to a relay that begins
-- to wait: so the relay waits before they commit, or sees their rows. With the rights of the owner, so that an application
-- needs to insert only.
CREATE FUNCTION lovage_outbox_wake() RETURNS trigger
LANGUAGE plpgsql SECURITY DEFINER SET search_path FROM CURRENT AS $$
BEGIN
    IF current_setting('transaction_isolation') <> 'read committed' THEN
        -- It sees an old state, in which it could neither find nor take the row.
        PERFORM pg_notify(lovage_outbox_channel(), '');
        RETURN NULL;
    END IF;
    PERFORM pg_advisory_xact_lock_shared('lovage_outbox'::regclass::oid::integer, 0);
    DELETE FROM lovage_outbox_idle WHERE one = (SELECT one FROM lovage_outbox_idle FOR UPDATE SKIP LOCKED);
    IF FOUND THEN
        PERFORM pg_notify(lovage_outbox_channel(), '');
    END IF;
    RETURN NULL;
END $$;

-- After this commits the relay looks once more and then waits. False: somebody commits just now, so look again soon. It does
-- not wait for them, because others who commit would wait for it.
CREATE FUNCTION lovage_outbox_arm() RETURNS boolean LANGUAGE plpgsql SET search_path FROM CURRENT AS $$
BEGIN
    IF NOT pg_try_advisory_xact_lock('lovage_outbox'::regclass::oid::integer, 0) THEN
        RETURN false;
    END IF;
    INSERT INTO lovage_outbox_idle (one) VALUES (true) ON CONFLICT DO NOTHING;
    RETURN true;
END $$;

CREATE CONSTRAINT TRIGGER lovage_outbox_wake AFTER INSERT ON lovage_outbox
    DEFERRABLE INITIALLY DEFERRED FOR EACH ROW WHEN (NEW.wakes) EXECUTE FUNCTION lovage_outbox_wake();
