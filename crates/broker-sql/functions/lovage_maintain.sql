-- Reclaims ended leases, makes due messages ready, and pushes a wake-up that was lost.
CREATE OR REPLACE FUNCTION lovage_maintain(p_queue text, p_now bigint, p_limit integer, p_lease bigint,
    OUT reclaimed integer, OUT promoted integer, OUT is_ready boolean, OUT is_leased boolean)
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
    -- Nor a lease.
    UPDATE lovage_reservation SET until = v_now + lease
    WHERE queue = v_queue AND until > v_now + p_lease AND until > v_now + lease;
    reclaimed := CASE WHEN v_guard IS NULL THEN lovage_reclaim(v_queue, v_now, p_limit) ELSE 0 END;
    promoted := lovage_promote_due(v_queue, v_now, p_limit);
    PERFORM lovage_nudge(v_queue, v_now, q.timer_at <= v_now);
    is_ready := NOT q.paused AND EXISTS (SELECT FROM lovage_ready WHERE queue = v_queue)
        AND NOT (q.limited AND EXISTS (SELECT FROM lovage_rate WHERE queue = v_queue AND empty_until > v_now));
    is_leased := EXISTS (SELECT FROM lovage_reservation WHERE queue = v_queue);
END $$;
