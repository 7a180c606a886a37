CREATE OR REPLACE FUNCTION lovage_announce(p_queue integer) RETURNS void LANGUAGE plpgsql AS $$
BEGIN
    PERFORM pg_advisory_xact_lock_shared('lovage_queue'::regclass::oid::integer, p_queue);
END $$;
