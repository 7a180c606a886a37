-- Registers a waiter; false when the message has ended. Who ends it waits for this, and then sees the waiter.
CREATE OR REPLACE FUNCTION lovage_watch(p_queue text, p_id uuid, p_handle bigint) RETURNS boolean
LANGUAGE plpgsql SET search_path FROM CURRENT AS $$
DECLARE
    v_queue integer := lovage_queue_id(p_queue);
    m lovage_message;
BEGIN
    SELECT * INTO m FROM lovage_message WHERE id = p_id AND queue = v_queue FOR SHARE;
    IF NOT FOUND OR EXISTS (SELECT FROM lovage_dead WHERE queue = v_queue AND since = m.at AND seq = m.seq) THEN
        RETURN false;
    END IF;
    INSERT INTO lovage_waiter (queue, id, handle) VALUES (v_queue, p_id, p_handle) ON CONFLICT DO NOTHING;
    RETURN true;
END $$;
