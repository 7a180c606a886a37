-- One idle handle is the one that looks when something becomes due or a lease ends; the others sleep on.
-- Answers after how many microseconds this one has to look, or null.
CREATE OR REPLACE FUNCTION lovage_claim_timer(p_queue integer, p_now bigint, p_handle bigint) RETURNS bigint
LANGUAGE plpgsql AS $$
DECLARE
    q lovage_queue;
    v_next bigint := lovage_next_event(p_queue);
BEGIN
    SELECT * INTO q FROM lovage_queue WHERE id = p_queue;
    IF v_next IS NULL THEN
        RETURN NULL;
    END IF;
    IF q.timer_handle <> p_handle AND q.timer_at <= v_next AND q.timer_at > p_now THEN
        RETURN NULL;
    END IF;
    UPDATE lovage_queue SET timer_handle = p_handle, timer_at = v_next WHERE id = p_queue;
    RETURN greatest(v_next - p_now, 0);
END $$;
