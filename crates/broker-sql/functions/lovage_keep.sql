-- Puts a message that was not started back to its place, kept for a slot kind (1 async, 2 blocking; 0: unsorted).
CREATE OR REPLACE FUNCTION lovage_keep(p_queue integer, p_id uuid, p_kind integer) RETURNS void
LANGUAGE plpgsql AS $$
DECLARE
    m lovage_message;
BEGIN
    UPDATE lovage_message AS w
    SET rank = 20 * p_kind + CASE WHEN w.losses >= 2 THEN 9 ELSE 19 END - w.priority
    WHERE w.id = p_id AND w.queue = p_queue RETURNING * INTO m;
    INSERT INTO lovage_ready (queue, rank, seq, id) VALUES (p_queue, m.rank, m.seq, p_id);
END $$;
