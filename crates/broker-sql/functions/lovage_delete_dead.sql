-- Removes dead letters; answers how many of the ids were dead.
CREATE OR REPLACE FUNCTION lovage_delete_dead(p_queue text, p_ids uuid[]) RETURNS bigint
LANGUAGE sql SET search_path FROM CURRENT AS $$
    WITH gone AS (
        DELETE FROM lovage_dead AS d USING lovage_message AS m
        WHERE m.id = ANY (p_ids) AND m.queue = lovage_queue_id(p_queue)
            AND d.queue = m.queue AND d.since = m.at AND d.seq = m.seq
        RETURNING d.queue, d.id),
    rest AS (DELETE FROM lovage_message AS m USING gone WHERE m.id = gone.id AND m.queue = gone.queue RETURNING m.id)
    SELECT count(*) FROM rest
$$;
