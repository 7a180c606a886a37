-- Removes up to so many messages from one place: `ready`, `delayed` or `dead`. Answers how many.
CREATE OR REPLACE FUNCTION lovage_purge(p_queue text, p_place text, p_limit integer) RETURNS integer
LANGUAGE plpgsql SET search_path FROM CURRENT AS $$
DECLARE
    v_queue integer := lovage_queue_id(p_queue);
    v_ids uuid[];
    v_keys text[];
BEGIN
    IF p_place = 'ready' THEN
        WITH part AS MATERIALIZED (
            SELECT queue, rank, seq FROM lovage_ready WHERE queue = v_queue LIMIT p_limit FOR UPDATE SKIP LOCKED),
        gone AS (DELETE FROM lovage_ready AS r USING part AS p
            WHERE (r.queue, r.rank, r.seq) = (p.queue, p.rank, p.seq) RETURNING r.id)
        SELECT array_agg(id) INTO v_ids FROM gone;
    ELSIF p_place = 'delayed' THEN
        WITH part AS MATERIALIZED (
            SELECT queue, due, seq FROM lovage_delayed WHERE queue = v_queue LIMIT p_limit FOR UPDATE SKIP LOCKED),
        gone AS (DELETE FROM lovage_delayed AS d USING part AS p
            WHERE (d.queue, d.due, d.seq) = (p.queue, p.due, p.seq) RETURNING d.id)
        SELECT array_agg(id) INTO v_ids FROM gone;
    ELSE
        WITH part AS MATERIALIZED (
            SELECT queue, since, seq FROM lovage_dead WHERE queue = v_queue LIMIT p_limit FOR UPDATE SKIP LOCKED),
        gone AS (DELETE FROM lovage_dead AS d USING part AS p
            WHERE (d.queue, d.since, d.seq) = (p.queue, p.since, p.seq) RETURNING d.id)
        SELECT array_agg(id) INTO v_ids FROM gone;
    END IF;
    WITH gone AS (DELETE FROM lovage_message WHERE id = ANY (v_ids) AND queue = v_queue RETURNING unique_key)
    SELECT array_agg(unique_key) FILTER (WHERE unique_key IS NOT NULL) INTO v_keys FROM gone;
    PERFORM lovage_finish(v_queue, v_ids, v_keys);
    RETURN coalesce(cardinality(v_ids), 0);
END $$;
