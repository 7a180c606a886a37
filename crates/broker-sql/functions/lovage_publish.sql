-- Takes messages of one queue. Messages without options come by the first three lists alone. In the transaction of an
-- application (`p_in_transaction`), which may be long, nobody is woken before its commit.
-- Answers the refused ones: position from 1, and the live message, the newest slot, or both: see lovage_publish_one.
CREATE OR REPLACE FUNCTION lovage_publish(
    p_queue text, p_now bigint, p_in_transaction boolean,
    p_ids uuid[], p_priorities smallint[], p_bodies bytea[],
    p_options boolean, p_after bigint[], p_at bigint[],
    p_keys text[], p_ttls bigint[], p_until_start boolean[], p_replace boolean[],
    p_fences text[], p_slots bigint[])
RETURNS TABLE (refused integer, holder uuid, newest bigint)
LANGUAGE plpgsql SET search_path FROM CURRENT SET enable_seqscan = off SET enable_bitmapscan = off
SET jit = off AS $$
DECLARE
    v_queue integer := lovage_queue_id(p_queue);
    v_now bigint := lovage_now(p_now);
    v_stored uuid[];
    v_due boolean := false;
BEGIN
    IF NOT p_in_transaction THEN
        PERFORM lovage_announce(v_queue);
    END IF;
    IF p_options THEN
        FOR i IN 1..cardinality(p_ids) LOOP
            SELECT r.holder, r.newest INTO holder, newest FROM lovage_publish_one(
                v_queue, v_now, p_ids[i], p_priorities[i], p_bodies[i], p_after[i], p_at[i],
                p_keys[i], p_ttls[i], p_until_start[i], p_replace[i], p_fences[i], p_slots[i]) AS r;
            IF holder IS NOT NULL OR newest IS NOT NULL THEN
                refused := i;
                RETURN NEXT;
            END IF;
            v_due := v_due OR p_after[i] IS NOT NULL OR p_at[i] IS NOT NULL;
        END LOOP;
    ELSE
        WITH new AS (
            INSERT INTO lovage_message (id, queue, priority, rank, seq, published_at, body)
            SELECT t.id, v_queue, t.priority, 19 - t.priority, nextval('lovage_tail'), v_now, t.body
            FROM unnest(p_ids, p_priorities, p_bodies) AS t (id, priority, body)
            ON CONFLICT (id, queue) DO NOTHING
            RETURNING id, rank, seq),
        put AS (
            INSERT INTO lovage_ready (queue, rank, seq, id) SELECT v_queue, rank, seq, id FROM new)
        SELECT array_agg(id) INTO v_stored FROM new;
        IF coalesce(cardinality(v_stored), 0) < cardinality(p_ids) THEN
            -- Of one id twice in a batch the second is the duplicate.
            RETURN QUERY
                SELECT t.nth::integer, t.id, NULL::bigint FROM unnest(p_ids) WITH ORDINALITY AS t (id, nth)
                WHERE v_stored IS NULL OR t.id <> ALL (v_stored) OR t.nth > array_position(p_ids, t.id);
        END IF;
    END IF;
    IF p_in_transaction THEN
        INSERT INTO lovage_wake (queue) VALUES (v_queue);
    ELSE
        PERFORM lovage_nudge(v_queue, v_now, v_due);
    END IF;
END $$;
