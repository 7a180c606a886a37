-- Locks a queue, shared, until the commit: the first lock of a function that makes a message ready. See README.md.
CREATE OR REPLACE FUNCTION lovage_announce(p_queue integer) RETURNS void LANGUAGE plpgsql AS $$
BEGIN
    PERFORM pg_advisory_xact_lock_shared('lovage_queue'::regclass::oid::integer, p_queue);
END $$;
