-- Wakes one idle handle if there is news for it: something is ready, or something falls due before anybody looks. Without a
-- token what is ready falls due with the next one.
CREATE OR REPLACE FUNCTION lovage_nudge(p_queue integer, p_now bigint, p_due boolean) RETURNS void
LANGUAGE plpgsql AS $$
DECLARE
    v_queue lovage_queue;
    v_next bigint;
    v_ready boolean;
    -- The slot kinds (bits) for which a message is ready.
    v_kinds integer := 3;
    -- What is ready waits for a token.
    v_token boolean;
BEGIN
    IF NOT EXISTS (SELECT FROM lovage_idle WHERE queue = p_queue) THEN
        RETURN;
    END IF;
    SELECT * INTO v_queue FROM lovage_queue WHERE id = p_queue;
    IF v_queue.paused THEN
        RETURN;
    END IF;
    v_ready := EXISTS (SELECT FROM lovage_ready WHERE queue = p_queue);
    -- No index probe more where nothing was ever sorted.
    IF v_ready AND v_queue.sorted
        AND NOT EXISTS (SELECT FROM lovage_ready WHERE queue = p_queue AND rank < 20) THEN
        v_kinds := EXISTS (SELECT FROM lovage_ready WHERE queue = p_queue AND rank >= 20 AND rank < 40)::integer
            + 2 * EXISTS (SELECT FROM lovage_ready WHERE queue = p_queue AND rank >= 40)::integer;
    END IF;
    v_token := v_queue.limited AND EXISTS (SELECT FROM lovage_rate WHERE queue = p_queue AND empty_until IS NOT NULL);
    IF v_ready AND NOT v_token AND lovage_wake_one(p_queue, v_kinds) THEN
        RETURN;
    END IF;
    IF p_due OR v_ready AND v_token THEN
        v_next := lovage_next_event(p_queue);
        -- Somebody has to look earlier than the one who said that it would.
        IF v_next IS NOT NULL AND (v_queue.timer_at IS NULL OR v_next < v_queue.timer_at OR v_queue.timer_at <= p_now) THEN
            -- Any handle can keep the time.
            PERFORM lovage_wake_one(p_queue, 3);
        END IF;
    END IF;
END $$;
