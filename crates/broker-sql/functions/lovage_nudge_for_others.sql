-- After a reservation that found nothing: wakes an idle handle for messages that are kept for slot kinds which the reservation
-- did not want. Suspects do not count, because handles that do not ask for them would wake each other.
CREATE OR REPLACE FUNCTION lovage_nudge_for_others(p_queue integer, p_handle bigint, p_wanted smallint) RETURNS void
LANGUAGE plpgsql AS $$
DECLARE
    v_kinds integer := 0;
BEGIN
    IF NOT EXISTS (SELECT FROM lovage_idle WHERE queue = p_queue AND handle <> p_handle AND kinds & ~p_wanted <> 0)
        -- Without a token it is of no use yet.
        OR EXISTS (SELECT FROM lovage_rate WHERE queue = p_queue AND empty_until IS NOT NULL) THEN
        RETURN;
    END IF;
    FOR kind IN 1..2 LOOP
        IF p_wanted & kind = 0 AND EXISTS (
            SELECT FROM lovage_ready WHERE queue = p_queue AND rank >= 20 * kind + 10 AND rank < 20 * kind + 20) THEN
            v_kinds := v_kinds + kind;
        END IF;
    END LOOP;
    IF v_kinds > 0 THEN
        DELETE FROM lovage_idle WHERE queue = p_queue AND handle = p_handle;
        PERFORM lovage_wake_one(p_queue, v_kinds);
    END IF;
END $$;
