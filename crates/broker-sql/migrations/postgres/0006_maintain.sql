-- Reclaims ended leases, makes due messages ready, and pushes a wake-up that was lost.
CREATE FUNCTION lovage_maintain(p_queue text, p_now bigint, p_limit integer, p_lease bigint,
    OUT reclaimed integer, OUT promoted integer)
LANGUAGE plpgsql SET search_path FROM CURRENT AS $$
DECLARE
    v_queue integer := lovage_queue_id(p_queue);
    v_now bigint := lovage_now(p_now);
    v_guard bigint;
    q lovage_queue;
BEGIN
    PERFORM lovage_announce(v_queue);
    SELECT * INTO q FROM lovage_queue WHERE id = v_queue FOR UPDATE;
    -- After an absence live workers renew first.
    v_guard := CASE WHEN q.maintained_at IS NULL OR v_now - q.maintained_at > p_lease / 2 THEN v_now + p_lease
        -- A clock that was set back must not stretch it.
        WHEN q.guarded_until IS NOT NULL THEN least(q.guarded_until, v_now + p_lease) END;
    IF v_guard <= v_now THEN
        v_guard := NULL;
    END IF;
    UPDATE lovage_queue SET maintained_at = v_now, guarded_until = v_guard,
        timer_handle = CASE WHEN timer_at > v_now THEN timer_handle END,
        timer_at = CASE WHEN timer_at > v_now THEN timer_at END
    WHERE id = v_queue;
    reclaimed := CASE WHEN v_guard IS NULL THEN lovage_reclaim(v_queue, v_now, p_limit) ELSE 0 END;
    promoted := lovage_promote_due(v_queue, v_now, p_limit);
    PERFORM lovage_nudge(v_queue, v_now, q.timer_at <= v_now);
END $$;

-- Ends reservations whose time is over; their messages go to the head, each with one more lost lease.
CREATE FUNCTION lovage_reclaim(p_queue integer, p_now bigint, p_limit integer) RETURNS integer
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
            WHERE l.token = v_token ORDER BY m.rank, m.seq LIMIT p_limit - cardinality(v_ids)),
        gone AS (
            DELETE FROM lovage_leased AS l USING part WHERE l.token = part.token AND l.id = part.id RETURNING l.id)
        SELECT array_agg(m.id ORDER BY m.rank, m.seq) INTO v_lost
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

-- Renews reservations. Answers which are still there (`kept`), and which of their messages were cancelled.
CREATE FUNCTION lovage_extend(p_queue text, p_now bigint, p_tokens uuid[], p_lease bigint)
RETURNS TABLE (kept uuid, revoked uuid)
LANGUAGE plpgsql SET search_path FROM CURRENT AS $$
DECLARE
    v_queue integer := lovage_queue_id(p_queue);
BEGIN
    RETURN QUERY
        UPDATE lovage_reservation AS r SET until = lovage_now(p_now) + p_lease
        WHERE r.queue = v_queue AND r.token = ANY (p_tokens) RETURNING r.token, NULL::uuid;
    RETURN QUERY
        SELECT NULL::uuid, m.id FROM lovage_message AS m
        JOIN lovage_leased AS l ON l.id = m.id AND l.token = ANY (p_tokens)
        WHERE m.queue = v_queue AND m.revoked;
END $$;
