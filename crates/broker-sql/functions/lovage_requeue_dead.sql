-- Makes dead letters ready again as run n+1, in the order of the list; answers how many there were.
CREATE OR REPLACE FUNCTION lovage_requeue_dead(p_queue text, p_ids uuid[], p_now bigint) RETURNS integer
LANGUAGE plpgsql SET search_path FROM CURRENT AS $$
DECLARE
    v_queue integer := lovage_queue_id(p_queue);
    v_count integer := 0;
    v_id uuid;
BEGIN
    PERFORM lovage_announce(v_queue);
    FOREACH v_id IN ARRAY p_ids LOOP
        DELETE FROM lovage_dead AS d USING lovage_message AS m
        WHERE m.id = v_id AND m.queue = v_queue AND d.queue = v_queue AND d.since = m.at AND d.seq = m.seq;
        IF FOUND THEN
            UPDATE lovage_message SET run = run + 1, attempt = 0, losses = 0, refused_since = NULL, revoked = false,
                replaced_by = NULL
            WHERE id = v_id AND queue = v_queue;
            PERFORM lovage_make_ready(v_queue, v_id, false);
            v_count := v_count + 1;
        END IF;
    END LOOP;
    PERFORM lovage_nudge(v_queue, lovage_now(p_now), false);
    RETURN v_count;
END $$;
