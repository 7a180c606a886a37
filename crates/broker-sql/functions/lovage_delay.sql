-- Moves a message to the delayed ones of its queue, due at an instant.
CREATE OR REPLACE FUNCTION lovage_delay(p_queue integer, p_id uuid, p_due bigint) RETURNS void
LANGUAGE plpgsql AS $$
DECLARE
    v_seq bigint := nextval('lovage_tail');
BEGIN
    UPDATE lovage_message SET seq = v_seq, at = p_due WHERE id = p_id AND queue = p_queue;
    INSERT INTO lovage_delayed (queue, due, seq, id) VALUES (p_queue, p_due, v_seq, p_id);
END $$;
