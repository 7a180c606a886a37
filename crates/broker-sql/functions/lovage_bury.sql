-- Keeps a message that nobody holds as a dead letter.
CREATE OR REPLACE FUNCTION lovage_bury(p_queue integer, m lovage_message, p_now bigint, p_reason text) RETURNS void
LANGUAGE plpgsql AS $$
DECLARE
    v_seq bigint := nextval('lovage_tail');
BEGIN
    UPDATE lovage_message SET seq = v_seq, at = p_now, unique_key = NULL WHERE id = m.id AND queue = p_queue;
    INSERT INTO lovage_dead (queue, since, seq, id, reason) VALUES (p_queue, p_now, v_seq, m.id, p_reason);
    PERFORM lovage_finish(p_queue, ARRAY[m.id], CASE WHEN m.unique_key IS NOT NULL THEN ARRAY[m.unique_key] END);
END $$;
