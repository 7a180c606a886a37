-- Ends reservations whose time is over; their messages go to the head, each with one more lost lease.
CREATE OR REPLACE FUNCTION lovage_reclaim(p_queue integer, p_now bigint, p_limit integer) RETURNS integer
LANGUAGE plpgsql AS $$
DECLARE
    v_ids uuid[] := '{}';
    v_lost uuid[];
    v_token uuid;
BEGIN
    FOR v_token IN
        SELECT token FROM lovage_reservation WHERE queue = p_queue AND until <= p_now
        ORDER BY until LIMIT p_limit FOR UPDATE SKIP LOCKED
    LOOP
        EXIT WHEN cardinality(v_ids) >= p_limit;
        WITH part AS MATERIALIZED (
            SELECT l.token, l.id FROM lovage_leased AS l JOIN lovage_message AS m ON m.id = l.id AND m.queue = p_queue
            WHERE l.token = v_token ORDER BY m.rank % 20, m.seq LIMIT p_limit - cardinality(v_ids)),
        gone AS (
            DELETE FROM lovage_leased AS l USING part WHERE l.token = part.token AND l.id = part.id RETURNING l.id)
        SELECT array_agg(m.id ORDER BY m.rank % 20, m.seq) INTO v_lost
        FROM gone JOIN lovage_message AS m ON m.id = gone.id AND m.queue = p_queue;
        v_ids := v_ids || v_lost;
        -- What the limit left of it stays with the reservation, whose end has come already.
        DELETE FROM lovage_reservation WHERE token = v_token
            AND NOT EXISTS (SELECT FROM lovage_leased WHERE token = v_token);
    END LOOP;
    UPDATE lovage_message SET losses = losses + 1, delivery = delivery + 1 WHERE id = ANY (v_ids) AND queue = p_queue;
    -- The last one first, so that they keep their order at the head.
    FOR i IN REVERSE cardinality(v_ids)..1 LOOP
        PERFORM lovage_make_ready(p_queue, v_ids[i], true);
    END LOOP;
    RETURN cardinality(v_ids);
END $$;
