-- Takes messages of one queue. Messages without options come by the first three lists alone. In the transaction of an
-- application (`p_in_transaction`), which may be long, nobody is woken before its commit.
-- Answers the refused ones: position from 1, and the live message or the newest slot.
CREATE FUNCTION lovage_publish(
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

-- Takes one message with options, or says why not.
CREATE FUNCTION lovage_publish_one(
    p_queue integer, p_now bigint, p_id uuid, p_priority smallint, p_body bytea, p_after bigint, p_at bigint,
    p_key text, p_ttl bigint, p_until_start boolean, p_replace boolean, p_fence text, p_slot bigint,
    OUT holder uuid, OUT newest bigint)
LANGUAGE plpgsql AS $$
DECLARE
    v_due bigint := coalesce(p_now + p_after, p_at);
    v_replaced uuid;
BEGIN
    INSERT INTO lovage_message (id, queue, priority, rank, seq, published_at, unique_key, until_start, body)
    VALUES (p_id, p_queue, p_priority, 19 - p_priority, 0, p_now, p_key, coalesce(p_until_start, false), p_body)
    ON CONFLICT (id, queue) DO NOTHING;
    IF NOT FOUND THEN
        holder := p_id;
        RETURN;
    END IF;
    IF p_key IS NOT NULL THEN
        -- Two who want the same key go one after another, from the first of these statements on.
        INSERT INTO lovage_unique (queue, key, id, until) VALUES (p_queue, p_key, p_id, p_now + p_ttl)
        ON CONFLICT (queue, key) DO UPDATE SET id = excluded.id, until = excluded.until
        WHERE lovage_unique.until <= p_now;
        IF NOT FOUND THEN
            SELECT id INTO holder FROM lovage_unique WHERE queue = p_queue AND key = p_key FOR UPDATE;
        END IF;
        IF holder IS NOT NULL AND p_replace AND lovage_replaceable(p_queue, holder) THEN
            v_replaced := holder;
            holder := NULL;
        END IF;
    END IF;
    IF holder IS NULL AND p_fence IS NOT NULL THEN
        INSERT INTO lovage_fence AS f (queue, name, slot) VALUES (p_queue, p_fence, p_slot)
        ON CONFLICT (queue, name) DO UPDATE SET slot = excluded.slot WHERE f.slot < excluded.slot;
        IF NOT FOUND THEN
            SELECT slot INTO newest FROM lovage_fence WHERE queue = p_queue AND name = p_fence;
        END IF;
    END IF;
    IF holder IS NOT NULL OR newest IS NOT NULL THEN
        DELETE FROM lovage_message WHERE id = p_id AND queue = p_queue;
        DELETE FROM lovage_unique WHERE queue = p_queue AND key = p_key AND id = p_id;
        RETURN;
    END IF;
    IF v_replaced IS NOT NULL THEN
        UPDATE lovage_unique SET id = p_id, until = p_now + p_ttl WHERE queue = p_queue AND key = p_key;
        PERFORM lovage_revoke_waiting(p_queue, v_replaced, p_id);
    END IF;
    IF v_due > p_now THEN
        PERFORM lovage_delay(p_queue, p_id, v_due);
    ELSE
        PERFORM lovage_make_ready(p_queue, p_id, false);
    END IF;
END $$;

-- Whether a message waits, and keeps it from being handed out until the end of the transaction if it does.
CREATE FUNCTION lovage_replaceable(p_queue integer, p_id uuid) RETURNS boolean
LANGUAGE plpgsql AS $$
DECLARE
    m lovage_message;
BEGIN
    SELECT * INTO m FROM lovage_message WHERE id = p_id AND queue = p_queue;
    PERFORM FROM lovage_ready WHERE queue = p_queue AND rank = m.rank AND seq = m.seq FOR UPDATE;
    IF FOUND THEN
        RETURN true;
    END IF;
    PERFORM FROM lovage_delayed WHERE queue = p_queue AND due = m.at AND seq = m.seq FOR UPDATE;
    RETURN FOUND;
END $$;

-- Marks a message that waits, and whose narrow row is locked, as revoked or replaced; it becomes ready at once.
CREATE FUNCTION lovage_revoke_waiting(p_queue integer, p_id uuid, p_by uuid) RETURNS void
LANGUAGE plpgsql AS $$
DECLARE
    m lovage_message;
BEGIN
    UPDATE lovage_message SET revoked = true, replaced_by = coalesce(p_by, replaced_by),
        unique_key = CASE WHEN p_by IS NULL THEN unique_key END
    WHERE id = p_id AND queue = p_queue RETURNING * INTO m;
    DELETE FROM lovage_delayed WHERE queue = p_queue AND due = m.at AND seq = m.seq;
    IF FOUND THEN
        PERFORM lovage_make_ready(p_queue, p_id, false);
    END IF;
END $$;

-- At the commit of an application's transaction that published: wakes somebody in each of its queues, in one order.
CREATE FUNCTION lovage_wake_at_commit() RETURNS trigger LANGUAGE plpgsql SET search_path FROM CURRENT AS $$
DECLARE
    v_queue integer;
BEGIN
    FOR v_queue IN SELECT DISTINCT queue FROM lovage_wake ORDER BY queue LOOP
        PERFORM lovage_announce(v_queue);
        PERFORM lovage_nudge(v_queue, lovage_now(NULL), true);
    END LOOP;
    DELETE FROM lovage_wake;
    RETURN NULL;
END $$;

CREATE CONSTRAINT TRIGGER lovage_wake_at_commit AFTER INSERT ON lovage_wake
    DEFERRABLE INITIALLY DEFERRED FOR EACH ROW EXECUTE FUNCTION lovage_wake_at_commit();
