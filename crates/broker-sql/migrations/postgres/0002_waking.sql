-- What the functions share.
--
-- Waking. A handle that finds nothing registers as idle, and a publisher wakes an idle handle; neither sees what the
-- other has not committed yet. So who makes something ready holds `lovage_announce` (shared) until its commit, and who
-- registers as idle holds the same lock exclusively and looks once more. It is the first lock that a function takes.
--
-- Cost. What runs all the time is PL/pgSQL, which keeps its plans; a function in SQL is planned at each call. Settings of a
-- function are paid for at each call, too: the planner's are those of the session (see `lovage-sql`), and what only other
-- functions call has the search path of its caller.

CREATE FUNCTION lovage_now(p_now bigint) RETURNS bigint LANGUAGE sql VOLATILE AS $$
    SELECT coalesce(p_now, (extract(epoch FROM clock_timestamp()) * 1000000)::bigint)
$$;

-- The number of a queue, which is registered by its first use.
CREATE FUNCTION lovage_queue_id(p_name text) RETURNS integer LANGUAGE plpgsql AS $$
DECLARE
    v_id integer;
BEGIN
    SELECT id INTO v_id FROM lovage_queue WHERE name = p_name;
    IF v_id IS NULL THEN
        INSERT INTO lovage_queue (name) VALUES (p_name) ON CONFLICT (name) DO NOTHING;
        SELECT id INTO v_id FROM lovage_queue WHERE name = p_name;
    END IF;
    RETURN v_id;
END $$;

CREATE FUNCTION lovage_announce(p_queue integer) RETURNS void LANGUAGE plpgsql AS $$
BEGIN
    PERFORM pg_advisory_xact_lock_shared('lovage_queue'::regclass::oid::integer, p_queue);
END $$;

-- Tells a handle something at commit. Each handle listens on a channel of its own.
CREATE FUNCTION lovage_tell_handle(p_handle bigint, p_signal text) RETURNS void LANGUAGE sql AS $$
    SELECT pg_notify('lovage_' || to_hex(p_handle), p_signal)
$$;

-- Wakes the handle that has been idle the longest. A handle holds a lock while it listens: who can take it has found one
-- that is gone.
CREATE FUNCTION lovage_wake_one(p_queue integer) RETURNS void LANGUAGE plpgsql AS $$
DECLARE
    v_handle bigint;
BEGIN
    FOR attempt IN 1..4 LOOP
        DELETE FROM lovage_idle WHERE queue = p_queue AND handle = (
            SELECT handle FROM lovage_idle WHERE queue = p_queue ORDER BY since LIMIT 1 FOR UPDATE SKIP LOCKED)
        RETURNING handle INTO v_handle;
        EXIT WHEN v_handle IS NULL;
        IF NOT pg_try_advisory_xact_lock(v_handle) THEN
            PERFORM lovage_tell_handle(v_handle, 'w' || (SELECT name FROM lovage_queue WHERE id = p_queue));
            EXIT;
        END IF;
    END LOOP;
END $$;

-- When something becomes due or a lease can be reclaimed.
CREATE FUNCTION lovage_next_event(p_queue integer) RETURNS bigint LANGUAGE plpgsql AS $$
BEGIN
    RETURN least(
        (SELECT min(due) FROM lovage_delayed WHERE queue = p_queue),
        -- No row where nothing is leased: `greatest` would pass over a null, and answer the guard.
        (SELECT greatest(r.until, (SELECT guarded_until FROM lovage_queue WHERE id = p_queue))
         FROM lovage_reservation AS r WHERE r.queue = p_queue ORDER BY r.queue, r.until LIMIT 1));
END $$;

-- Wakes one idle handle if there is news for it: something is ready, or something falls due before anybody looks.
CREATE FUNCTION lovage_nudge(p_queue integer, p_now bigint, p_due boolean) RETURNS void
LANGUAGE plpgsql AS $$
DECLARE
    v_queue lovage_queue;
    v_next bigint;
BEGIN
    IF NOT EXISTS (SELECT FROM lovage_idle WHERE queue = p_queue) THEN
        RETURN;
    END IF;
    SELECT * INTO v_queue FROM lovage_queue WHERE id = p_queue;
    IF v_queue.paused THEN
        RETURN;
    END IF;
    IF EXISTS (SELECT FROM lovage_ready WHERE queue = p_queue) THEN
        PERFORM lovage_wake_one(p_queue);
    ELSIF p_due THEN
        v_next := lovage_next_event(p_queue);
        -- Somebody has to look earlier than the one who said that it would.
        IF v_next IS NOT NULL AND (v_queue.timer_at IS NULL OR v_next < v_queue.timer_at OR v_queue.timer_at <= p_now) THEN
            PERFORM lovage_wake_one(p_queue);
        END IF;
    END IF;
END $$;

-- Puts a message at the tail or the head of what is ready; its wide row must be up to date but for its key.
CREATE FUNCTION lovage_make_ready(p_queue integer, p_id uuid, p_head boolean) RETURNS void
LANGUAGE plpgsql AS $$
DECLARE
    v_seq bigint := CASE WHEN p_head THEN nextval('lovage_head') ELSE nextval('lovage_tail') END;
    v_rank smallint;
BEGIN
    UPDATE lovage_message SET seq = v_seq, at = NULL, rank = CASE WHEN losses >= 2 THEN 9 ELSE 19 END - priority
    WHERE id = p_id AND queue = p_queue RETURNING rank INTO v_rank;
    INSERT INTO lovage_ready (queue, rank, seq, id) VALUES (p_queue, v_rank, v_seq, p_id);
END $$;

CREATE FUNCTION lovage_delay(p_queue integer, p_id uuid, p_due bigint) RETURNS void
LANGUAGE plpgsql AS $$
DECLARE
    v_seq bigint := nextval('lovage_tail');
BEGIN
    UPDATE lovage_message SET seq = v_seq, at = p_due WHERE id = p_id AND queue = p_queue;
    INSERT INTO lovage_delayed (queue, due, seq, id) VALUES (p_queue, p_due, v_seq, p_id);
END $$;

-- Makes due messages ready, in the order of their times; answers how many.
CREATE FUNCTION lovage_promote_due(p_queue integer, p_now bigint, p_limit integer) RETURNS integer
LANGUAGE plpgsql AS $$
DECLARE
    v_ids uuid[];
BEGIN
    WITH due AS MATERIALIZED (
        SELECT queue, due, seq FROM lovage_delayed WHERE queue = p_queue AND due <= p_now
        ORDER BY queue, due, seq LIMIT p_limit FOR UPDATE SKIP LOCKED),
    gone AS (
        DELETE FROM lovage_delayed AS d USING due WHERE (d.queue, d.due, d.seq) = (due.queue, due.due, due.seq)
        RETURNING d.due, d.seq, d.id)
    SELECT array_agg(id ORDER BY due, seq) INTO v_ids FROM gone;
    PERFORM lovage_make_ready(p_queue, id, false) FROM unnest(v_ids) AS id;
    RETURN coalesce(cardinality(v_ids), 0);
END $$;

-- Messages came to their end, gone or dead: their keys are free, and who waits for them is told.
CREATE FUNCTION lovage_finish(p_queue integer, p_ids uuid[], p_keys text[]) RETURNS void
LANGUAGE plpgsql AS $$
BEGIN
    IF p_keys IS NOT NULL THEN
        DELETE FROM lovage_unique WHERE queue = p_queue AND key = ANY (p_keys) AND id = ANY (p_ids);
    END IF;
    IF EXISTS (SELECT FROM lovage_waiter WHERE queue = p_queue) THEN
        WITH told AS (DELETE FROM lovage_waiter WHERE queue = p_queue AND id = ANY (p_ids) RETURNING handle, id)
        SELECT count(lovage_tell_handle(handle, 'o' || id)) INTO STRICT p_queue FROM told;
    END IF;
END $$;
