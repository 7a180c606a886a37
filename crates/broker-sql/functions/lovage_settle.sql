-- Ends messages of one reservation: those of `p_acks` are done; each of `p_ids` goes on by its kind:
-- `retry` after a time, with a note | `back` after a time | `refused` after a time | `dead` with a reason and a note |
-- `unstarted`, kept for the slot kind of this number (in the place of the time; 0: unsorted).
-- No id may stand twice. Answers the ids whose lease had ended.
CREATE OR REPLACE FUNCTION lovage_settle(
    p_queue text, p_now bigint, p_token uuid, p_acks uuid[],
    p_ids uuid[], p_kinds text[], p_after bigint[], p_reasons text[], p_notes text[],
    p_keep_notes integer, p_keep_dead integer)
RETURNS SETOF uuid
LANGUAGE plpgsql SET search_path FROM CURRENT SET plan_cache_mode = force_generic_plan AS $$
DECLARE
    v_queue integer := lovage_queue_id(p_queue);
    v_now bigint := lovage_now(p_now);
    v_gone uuid[];
    v_keys text[];
    v_head uuid[];
    v_dead boolean := false;
    v_unstarted integer := 0;
    m lovage_message;
BEGIN
    IF 'unstarted' = ANY (p_kinds) THEN
        -- Before every other lock, as `lovage_reserve` does.
        PERFORM FROM lovage_rate AS b WHERE b.queue = v_queue FOR UPDATE;
    END IF;
    IF cardinality(p_ids) > 0 THEN
        PERFORM lovage_announce(v_queue);
    END IF;
    IF 'unstarted' = ANY (p_kinds) THEN
        -- From now on reservations look at kept messages, too.
        UPDATE lovage_queue SET sorted = true WHERE id = v_queue AND NOT sorted
            AND EXISTS (SELECT FROM unnest(p_kinds, p_after) AS s (kind, slot) WHERE s.kind = 'unstarted' AND s.slot > 0);
    END IF;
    IF cardinality(p_acks) > 0 THEN
        WITH done AS (
            DELETE FROM lovage_leased AS l WHERE l.token = p_token AND l.id = ANY (p_acks) RETURNING l.id),
        gone AS (
            DELETE FROM lovage_message AS w USING done WHERE w.id = done.id AND w.queue = v_queue
            RETURNING w.id, w.unique_key)
        SELECT array_agg(g.id), array_agg(g.unique_key) FILTER (WHERE g.unique_key IS NOT NULL)
        INTO v_gone, v_keys FROM gone AS g;
        IF coalesce(cardinality(v_gone), 0) < cardinality(p_acks) THEN
            RETURN QUERY SELECT a.id FROM unnest(p_acks) AS a (id) WHERE v_gone IS NULL OR a.id <> ALL (v_gone);
        END IF;
        IF v_gone IS NOT NULL THEN
            PERFORM lovage_finish(v_queue, v_gone, v_keys);
        END IF;
    END IF;
    FOR i IN 1..cardinality(p_ids) LOOP
        DELETE FROM lovage_leased AS l WHERE l.token = p_token AND l.id = p_ids[i];
        IF NOT FOUND THEN
            RETURN NEXT p_ids[i];
            CONTINUE;
        END IF;
        IF p_kinds[i] = 'unstarted' THEN
            PERFORM lovage_keep(v_queue, p_ids[i], p_after[i]::integer);
            v_unstarted := v_unstarted + 1;
            CONTINUE;
        END IF;
        UPDATE lovage_message AS w SET
            delivery = w.delivery + 1,
            attempt = w.attempt + (p_kinds[i] = 'retry')::integer,
            losses = CASE WHEN p_kinds[i] IN ('retry', 'dead') THEN 0 ELSE w.losses END,
            refused_since = CASE WHEN p_kinds[i] = 'refused' THEN coalesce(w.refused_since, v_now) ELSE w.refused_since END,
            notes = CASE WHEN p_notes[i] IS NULL THEN w.notes
                ELSE (w.notes || p_notes[i])[greatest(1, coalesce(cardinality(w.notes), 0) + 2 - p_keep_notes):] END
        WHERE w.id = p_ids[i] AND w.queue = v_queue RETURNING * INTO m;
        IF p_kinds[i] = 'dead' THEN
            PERFORM lovage_bury(v_queue, m, v_now, p_reasons[i]);
            v_dead := true;
        -- Whoever is to learn of a cancellation should not have to wait for it.
        ELSIF p_after[i] > 0 AND NOT m.revoked THEN
            PERFORM lovage_delay(v_queue, m.id, v_now + p_after[i]);
        ELSIF p_kinds[i] = 'retry' THEN
            PERFORM lovage_make_ready(v_queue, m.id, false);
        ELSE
            v_head := v_head || m.id;
        END IF;
    END LOOP;
    -- The last one first, so that they keep their order at the head.
    FOR i IN REVERSE coalesce(cardinality(v_head), 0)..1 LOOP
        PERFORM lovage_make_ready(v_queue, v_head[i], true);
    END LOOP;
    IF v_unstarted > 0 THEN
        -- Their tokens come back.
        UPDATE lovage_rate AS b SET spent = b.spent - v_unstarted * b.gap,
            empty_until = nullif(greatest(b.spent - (v_unstarted + b.burst - 1) * b.gap, v_now), v_now)
        WHERE b.queue = v_queue;
    END IF;
    DELETE FROM lovage_reservation AS r WHERE r.token = p_token
        AND NOT EXISTS (SELECT FROM lovage_leased AS l WHERE l.token = p_token);
    IF v_dead THEN
        PERFORM lovage_trim_dead(v_queue, p_keep_dead);
    END IF;
    IF cardinality(p_ids) > 0 THEN
        PERFORM lovage_nudge(v_queue, v_now, true);
    END IF;
END $$;
