-- Messages came to their end, gone or dead: their keys are free, and who waits for them is told.
CREATE OR REPLACE FUNCTION lovage_finish(p_queue integer, p_ids uuid[], p_keys text[]) RETURNS void
LANGUAGE plpgsql AS $$
BEGIN
    IF p_keys IS NOT NULL THEN
        DELETE FROM lovage_unique WHERE queue = p_queue AND key = ANY (p_keys) AND id = ANY (p_ids);
    END IF;
    IF EXISTS (SELECT FROM lovage_waiter WHERE queue = p_queue) THEN
        WITH told AS (DELETE FROM lovage_waiter WHERE queue = p_queue AND id = ANY (p_ids) RETURNING handle, id)
        SELECT count(lovage_tell_handle(handle, 'o' || id)) INTO STRICT p_queue FROM told;
    END IF;
END $$;
