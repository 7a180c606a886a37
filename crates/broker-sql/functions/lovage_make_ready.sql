-- Puts a message at the tail or the head of what is ready; its wide row must be up to date but for its key.
CREATE OR REPLACE FUNCTION lovage_make_ready(p_queue integer, p_id uuid, p_head boolean) RETURNS void
LANGUAGE plpgsql AS $$
DECLARE
    v_seq bigint := CASE WHEN p_head THEN nextval('lovage_head') ELSE nextval('lovage_tail') END;
    v_rank smallint;
BEGIN
    UPDATE lovage_message SET seq = v_seq, at = NULL, rank = CASE WHEN losses >= 2 THEN 9 ELSE 19 END - priority
    WHERE id = p_id AND queue = p_queue RETURNING rank INTO v_rank;
    INSERT INTO lovage_ready (queue, rank, seq, id) VALUES (p_queue, v_rank, v_seq, p_id);
END $$;
