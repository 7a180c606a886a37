-- Makes due messages ready, in the order of their times; answers how many.
CREATE OR REPLACE FUNCTION lovage_promote_due(p_queue integer, p_now bigint, p_limit integer) RETURNS integer
LANGUAGE plpgsql AS $$
DECLARE
    v_ids uuid[];
BEGIN
    WITH due AS MATERIALIZED (
        SELECT queue, due, seq FROM lovage_delayed WHERE queue = p_queue AND due <= p_now
        ORDER BY queue, due, seq LIMIT p_limit FOR UPDATE SKIP LOCKED),
    gone AS (
        DELETE FROM lovage_delayed AS d USING due WHERE (d.queue, d.due, d.seq) = (due.queue, due.due, due.seq)
        RETURNING d.due, d.seq, d.id)
    SELECT array_agg(id ORDER BY due, seq) INTO v_ids FROM gone;
    PERFORM lovage_make_ready(p_queue, id, false) FROM unnest(v_ids) AS id;
    RETURN coalesce(cardinality(v_ids), 0);
END $$;
