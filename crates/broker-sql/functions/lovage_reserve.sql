-- Hands out ready messages under one lease, in the order of `nth`, at most as many as the rate limit has tokens. The columns
-- of a delivery are read after the messages were taken, in a statement of its own, so that they show what the previous
-- holders committed. Of the messages that are kept for a slot kind it takes at most as many as `p_wants` says for it (1 async,
-- 2 blocking). Returns at least one row; its `id` is null when nothing was found. A call for no message (`p_max` 0) passes a
-- hint on.
CREATE OR REPLACE FUNCTION lovage_reserve(
    p_queue text, p_now bigint, p_max integer, p_token uuid, p_lease bigint, p_suspects boolean, p_handle bigint,
    p_wants integer[])
RETURNS TABLE (
    now bigint, next_check bigint, nth bigint, id uuid, priority smallint, run integer, delivery integer, attempt integer,
    losses integer, refused_since bigint, published_at bigint, revoked boolean, replaced_by uuid, until_start boolean,
    kind integer, body bytea)
LANGUAGE plpgsql SET search_path FROM CURRENT SET plan_cache_mode = force_generic_plan AS $$
DECLARE
    v_queue integer;
    v_paused boolean;
    v_limited boolean;
    v_rate lovage_rate;
    v_max integer := p_max;
    v_promoted integer := 0;
    v_sorted boolean;
    v_kinds smallint := lovage_kinds(p_wants);
    v_suspect uuid[];
    v_ids uuid[];
BEGIN
    now := lovage_now(p_now);
    SELECT q.id, q.limited INTO v_queue, v_limited FROM lovage_queue AS q WHERE q.name = p_queue;
    IF v_queue IS NULL THEN
        v_queue := lovage_queue_id(p_queue);
    ELSIF v_limited THEN
        -- One reservation at a time. Before every other lock, as `lovage_limit` does.
        SELECT * INTO v_rate FROM lovage_rate AS b WHERE b.queue = v_queue FOR UPDATE;
        v_limited := FOUND;
    END IF;
    IF v_limited THEN
        v_rate.spent := least(greatest(v_rate.spent, now), now + v_rate.burst * v_rate.gap);
        v_max := least(p_max, (now + v_rate.burst * v_rate.gap - v_rate.spent) / v_rate.gap);
    END IF;
    FOR look IN 1..2 LOOP
        SELECT q.paused, q.sorted INTO v_paused, v_sorted FROM lovage_queue AS q WHERE q.id = v_queue;
        IF EXISTS (SELECT FROM lovage_delayed AS d WHERE d.queue = v_queue AND d.due <= now) THEN
            v_promoted := v_promoted + lovage_promote_due(v_queue, now, 256);
        END IF;
        IF v_sorted AND NOT v_paused THEN
            v_ids := lovage_take_sorted(v_queue, p_token, v_max, p_wants, p_suspects);
        ELSIF NOT v_paused THEN
            IF p_suspects AND EXISTS (SELECT FROM lovage_ready AS r WHERE r.queue = v_queue AND r.rank < 10) THEN
                WITH first AS MATERIALIZED (
                    SELECT r.queue, r.rank, r.seq FROM lovage_ready AS r WHERE r.queue = v_queue AND r.rank < 10
                    ORDER BY r.queue, r.rank, r.seq LIMIT least(1, v_max) FOR UPDATE SKIP LOCKED),
                taken AS (
                    DELETE FROM lovage_ready AS r USING first AS f
                    WHERE (r.queue, r.rank, r.seq) = (f.queue, f.rank, f.seq) RETURNING r.id),
                kept AS (INSERT INTO lovage_leased (token, id) SELECT p_token, t.id FROM taken AS t)
                SELECT array_agg(t.id) INTO v_suspect FROM taken AS t;
            END IF;
            WITH first AS MATERIALIZED (
                SELECT r.queue, r.rank, r.seq FROM lovage_ready AS r WHERE r.queue = v_queue AND r.rank >= 10 AND r.rank < 20
                ORDER BY r.queue, r.rank, r.seq
                LIMIT v_max - coalesce(cardinality(v_suspect), 0) FOR UPDATE SKIP LOCKED),
            taken AS (
                DELETE FROM lovage_ready AS r USING first AS f
                WHERE (r.queue, r.rank, r.seq) = (f.queue, f.rank, f.seq) RETURNING r.rank, r.seq, r.id),
            kept AS (INSERT INTO lovage_leased (token, id) SELECT p_token, t.id FROM taken AS t)
            SELECT array_agg(t.id ORDER BY t.rank, t.seq) INTO v_ids FROM taken AS t;
            v_ids := v_suspect || v_ids;
        END IF;
        EXIT WHEN v_ids IS NOT NULL OR look = 2 OR p_max = 0;
        IF v_promoted > 0 THEN
            -- They are suspects that this one may not have. It holds locks now, so that it must not wait for others.
            PERFORM lovage_nudge(v_queue, now, false);
            next_check := 0;
            RETURN NEXT;
            RETURN;
        END IF;
        PERFORM pg_advisory_xact_lock('lovage_queue'::regclass::oid::integer, v_queue);
    END LOOP;
    IF v_limited THEN
        v_rate.spent := v_rate.spent + coalesce(cardinality(v_ids), 0) * v_rate.gap;
        v_rate.empty_until := v_rate.spent - (v_rate.burst - 1) * v_rate.gap;
        UPDATE lovage_rate AS b
        SET spent = v_rate.spent, empty_until = CASE WHEN v_rate.empty_until > now THEN v_rate.empty_until END
        WHERE b.queue = v_queue;
    END IF;
    IF p_max = 0 THEN
        DELETE FROM lovage_idle AS i WHERE i.queue = v_queue AND i.handle = p_handle;
        PERFORM lovage_nudge(v_queue, now, true);
        RETURN NEXT;
        RETURN;
    END IF;
    IF v_ids IS NULL THEN
        IF v_promoted > 0 THEN
            PERFORM lovage_nudge(v_queue, now, false);
        END IF;
        IF v_sorted AND NOT v_paused THEN
            PERFORM lovage_nudge_for_others(v_queue, p_handle, v_kinds);
        END IF;
        INSERT INTO lovage_idle AS i (queue, handle, since, kinds)
        VALUES (v_queue, p_handle, nextval('lovage_tail'), v_kinds)
        ON CONFLICT (queue, handle) DO UPDATE SET kinds = excluded.kinds WHERE i.kinds <> excluded.kinds;
        next_check := lovage_claim_timer(v_queue, now, p_handle);
        RETURN NEXT;
        RETURN;
    END IF;
    INSERT INTO lovage_reservation (token, queue, handle, until, lease)
    VALUES (p_token, v_queue, p_handle, now + p_lease, p_lease);
    DELETE FROM lovage_idle AS i WHERE i.queue = v_queue AND i.handle = p_handle;
    -- A chain: each handle that found work wakes one more while something is left.
    PERFORM lovage_nudge(v_queue, now, false);
    RETURN QUERY
        SELECT now, NULL::bigint, t.nth, m.id, m.priority, m.run, m.delivery + 1, m.attempt, m.losses, m.refused_since,
            m.published_at, m.revoked, m.replaced_by, m.until_start AND m.unique_key IS NOT NULL, m.rank / 20, m.body
        FROM unnest(v_ids) WITH ORDINALITY AS t (id, nth)
        JOIN lovage_message AS m ON m.id = t.id AND m.queue = v_queue;
END $$;
