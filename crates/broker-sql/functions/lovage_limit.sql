-- Sets or lifts a limit; it begins with all tokens.
CREATE OR REPLACE FUNCTION lovage_limit(p_queue text, p_rate text, p_gap bigint, p_burst integer) RETURNS void
LANGUAGE plpgsql SET search_path FROM CURRENT AS $$
DECLARE
    v_queue integer := lovage_queue_id(p_queue);
BEGIN
    DELETE FROM lovage_rate WHERE queue = v_queue;
    IF p_rate IS NOT NULL THEN
        INSERT INTO lovage_rate (queue, rate, gap, burst) VALUES (v_queue, p_rate, p_gap, p_burst)
        ON CONFLICT (queue) DO UPDATE SET rate = p_rate, gap = p_gap, burst = p_burst, spent = 0, empty_until = NULL;
    END IF;
    PERFORM lovage_announce(v_queue);
    UPDATE lovage_queue SET limited = p_rate IS NOT NULL WHERE id = v_queue;
    PERFORM lovage_nudge(v_queue, lovage_now(NULL), true);
END $$;
