-- Wakes the handle that has been idle the longest of those that want one of these slot kinds (bits); answers whether there
-- was one. A handle holds a lock while it listens: who can take it has found one
-- that is gone.
CREATE OR REPLACE FUNCTION lovage_wake_one(p_queue integer, p_kinds integer) RETURNS boolean LANGUAGE plpgsql AS $$
DECLARE
    v_handle bigint;
BEGIN
    FOR attempt IN 1..4 LOOP
        DELETE FROM lovage_idle WHERE queue = p_queue AND handle = (
            SELECT handle FROM lovage_idle WHERE queue = p_queue AND kinds & p_kinds <> 0
            ORDER BY since LIMIT 1 FOR UPDATE SKIP LOCKED)
        RETURNING handle INTO v_handle;
        EXIT WHEN v_handle IS NULL;
        IF NOT pg_try_advisory_xact_lock(v_handle) THEN
            PERFORM lovage_tell_handle(v_handle, 'w' || (SELECT name FROM lovage_queue WHERE id = p_queue));
            RETURN true;
        END IF;
    END LOOP;
    RETURN false;
END $$;
