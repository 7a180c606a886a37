-- Removes the oldest dead letters beyond the limit.
CREATE OR REPLACE FUNCTION lovage_trim_dead(p_queue integer, p_keep integer) RETURNS void
LANGUAGE sql AS $$
    WITH old AS (
        SELECT d.queue, d.since, d.seq FROM lovage_dead AS d WHERE d.queue = p_queue
        ORDER BY d.queue DESC, d.since DESC, d.seq DESC OFFSET p_keep),
    gone AS (
        DELETE FROM lovage_dead AS d USING old WHERE (d.queue, d.since, d.seq) = (old.queue, old.since, old.seq)
        RETURNING d.id)
    DELETE FROM lovage_message AS m USING gone WHERE m.id = gone.id AND m.queue = p_queue
$$;
