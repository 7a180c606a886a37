-- Where a message is: 0 ready, 1 delayed (with its time), 2 leased (with the lease's end), 3 dead (since, why).
CREATE FUNCTION lovage_place(m lovage_message, OUT place integer, OUT at bigint, OUT reason text)
LANGUAGE sql STABLE SET search_path FROM CURRENT AS $$
    SELECT 0, NULL::bigint, NULL::text FROM lovage_ready AS r
    WHERE r.queue = m.queue AND r.rank = m.rank AND r.seq = m.seq
    UNION ALL
    SELECT 1, d.due, NULL FROM lovage_delayed AS d WHERE d.queue = m.queue AND d.due = m.at AND d.seq = m.seq
    UNION ALL
    SELECT 3, d.since, d.reason FROM lovage_dead AS d WHERE d.queue = m.queue AND d.since = m.at AND d.seq = m.seq
    UNION ALL
    SELECT 2, r.until, NULL FROM lovage_reservation AS r JOIN lovage_leased AS l ON l.token = r.token AND l.id = m.id
    WHERE r.queue = m.queue
    LIMIT 1
$$;

-- Marks a message as revoked; without a queue the first that has it. Answers `none`, `waiting` or `leased`.
CREATE FUNCTION lovage_cancel(p_id uuid, p_queue text, p_now bigint) RETURNS text
LANGUAGE plpgsql SET search_path FROM CURRENT AS $$
DECLARE
    v_queue integer;
    v_place integer;
    v_holder bigint;
BEGIN
    SELECT m.queue INTO v_queue FROM lovage_message AS m JOIN lovage_queue AS q ON q.id = m.queue
    WHERE m.id = p_id AND (p_queue IS NULL OR q.name = p_queue) ORDER BY q.name LIMIT 1;
    IF v_queue IS NULL THEN
        RETURN 'none';
    END IF;
    PERFORM lovage_announce(v_queue);
    -- It may move while it is being looked for; each turn begins where it is by then.
    FOR attempt IN 1..100 LOOP
        IF lovage_replaceable(v_queue, p_id) THEN
            PERFORM lovage_revoke_waiting(v_queue, p_id, NULL);
            PERFORM lovage_nudge(v_queue, lovage_now(p_now), false);
            RETURN 'waiting';
        END IF;
        SELECT (lovage_place(m)).place INTO v_place FROM lovage_message AS m WHERE m.id = p_id AND m.queue = v_queue;
        IF v_place IS NULL OR v_place = 3 THEN
            RETURN 'none';
        END IF;
        SELECT r.handle INTO v_holder FROM lovage_reservation AS r
        JOIN lovage_leased AS l ON l.token = r.token AND l.id = p_id WHERE r.queue = v_queue FOR UPDATE OF l;
        IF FOUND THEN
            UPDATE lovage_message SET revoked = true WHERE id = p_id AND queue = v_queue;
            PERFORM lovage_tell_handle(v_holder, 'x' || p_id);
            RETURN 'leased';
        END IF;
    END LOOP;
    RAISE EXCEPTION 'message % moves all the time', p_id USING ERRCODE = '40001';
END $$;

-- Makes a delayed message ready now; answers whether there was one.
CREATE FUNCTION lovage_promote(p_id uuid, p_queue text, p_now bigint) RETURNS boolean
LANGUAGE plpgsql SET search_path FROM CURRENT AS $$
DECLARE
    m lovage_message;
BEGIN
    SELECT w.* INTO m FROM lovage_message AS w JOIN lovage_queue AS q ON q.id = w.queue
    JOIN lovage_delayed AS d ON d.queue = w.queue AND d.due = w.at AND d.seq = w.seq
    WHERE w.id = p_id AND (p_queue IS NULL OR q.name = p_queue) ORDER BY q.name LIMIT 1;
    IF NOT FOUND THEN
        RETURN false;
    END IF;
    PERFORM lovage_announce(m.queue);
    DELETE FROM lovage_delayed WHERE queue = m.queue AND due = m.at AND seq = m.seq;
    IF NOT FOUND THEN
        RETURN false;
    END IF;
    PERFORM lovage_make_ready(m.queue, m.id, false);
    PERFORM lovage_nudge(m.queue, lovage_now(p_now), false);
    RETURN true;
END $$;

-- Removes up to so many messages from one place: `ready`, `delayed` or `dead`. Answers how many.
CREATE FUNCTION lovage_purge(p_queue text, p_place text, p_limit integer) RETURNS integer
LANGUAGE plpgsql SET search_path FROM CURRENT AS $$
DECLARE
    v_queue integer := lovage_queue_id(p_queue);
    v_ids uuid[];
    v_keys text[];
BEGIN
    IF p_place = 'ready' THEN
        WITH part AS MATERIALIZED (
            SELECT queue, rank, seq FROM lovage_ready WHERE queue = v_queue LIMIT p_limit FOR UPDATE SKIP LOCKED),
        gone AS (DELETE FROM lovage_ready AS r USING part AS p
            WHERE (r.queue, r.rank, r.seq) = (p.queue, p.rank, p.seq) RETURNING r.id)
        SELECT array_agg(id) INTO v_ids FROM gone;
    ELSIF p_place = 'delayed' THEN
        WITH part AS MATERIALIZED (
            SELECT queue, due, seq FROM lovage_delayed WHERE queue = v_queue LIMIT p_limit FOR UPDATE SKIP LOCKED),
        gone AS (DELETE FROM lovage_delayed AS d USING part AS p
            WHERE (d.queue, d.due, d.seq) = (p.queue, p.due, p.seq) RETURNING d.id)
        SELECT array_agg(id) INTO v_ids FROM gone;
    ELSE
        WITH part AS MATERIALIZED (
            SELECT queue, since, seq FROM lovage_dead WHERE queue = v_queue LIMIT p_limit FOR UPDATE SKIP LOCKED),
        gone AS (DELETE FROM lovage_dead AS d USING part AS p
            WHERE (d.queue, d.since, d.seq) = (p.queue, p.since, p.seq) RETURNING d.id)
        SELECT array_agg(id) INTO v_ids FROM gone;
    END IF;
    WITH gone AS (DELETE FROM lovage_message WHERE id = ANY (v_ids) AND queue = v_queue RETURNING unique_key)
    SELECT array_agg(unique_key) FILTER (WHERE unique_key IS NOT NULL) INTO v_keys FROM gone;
    PERFORM lovage_finish(v_queue, v_ids, v_keys);
    RETURN coalesce(cardinality(v_ids), 0);
END $$;

CREATE FUNCTION lovage_pause(p_queue text, p_paused boolean) RETURNS void
LANGUAGE plpgsql SET search_path FROM CURRENT AS $$
DECLARE
    v_queue integer := lovage_queue_id(p_queue);
BEGIN
    PERFORM lovage_announce(v_queue);
    UPDATE lovage_queue SET paused = p_paused WHERE id = v_queue;
    PERFORM lovage_nudge(v_queue, lovage_now(NULL), true);
END $$;

-- Makes dead letters ready again as run n+1, in the order of the list; answers how many there were.
CREATE FUNCTION lovage_requeue_dead(p_queue text, p_ids uuid[], p_now bigint) RETURNS integer
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

-- Removes dead letters; answers how many of the ids were dead.
CREATE FUNCTION lovage_delete_dead(p_queue text, p_ids uuid[]) RETURNS bigint
LANGUAGE sql SET search_path FROM CURRENT AS $$
    WITH gone AS (
        DELETE FROM lovage_dead AS d USING lovage_message AS m
        WHERE m.id = ANY (p_ids) AND m.queue = lovage_queue_id(p_queue)
            AND d.queue = m.queue AND d.since = m.at AND d.seq = m.seq
        RETURNING d.queue, d.id),
    rest AS (DELETE FROM lovage_message AS m USING gone WHERE m.id = gone.id AND m.queue = gone.queue RETURNING m.id)
    SELECT count(*) FROM rest
$$;

-- Registers a worker, forgets those whose time is over, and takes what it was told (`command`, oldest first).
-- Answers at least one row.
CREATE FUNCTION lovage_heartbeat(p_id text, p_handle bigint, p_name text, p_info text, p_ttl bigint, p_now bigint)
RETURNS TABLE (live bigint, command text) LANGUAGE plpgsql SET search_path FROM CURRENT AS $$
DECLARE
    v_now bigint := lovage_now(p_now);
BEGIN
    DELETE FROM lovage_worker WHERE id <> p_id AND until <= v_now;
    INSERT INTO lovage_worker (id, handle, name, info, seen, until)
    VALUES (p_id, p_handle, p_name, p_info, v_now, v_now + p_ttl)
    ON CONFLICT (id) DO UPDATE
    SET handle = excluded.handle, name = excluded.name, info = excluded.info, seen = excluded.seen, until = excluded.until;
    SELECT count(*) INTO live FROM lovage_worker;
    RETURN NEXT;
    RETURN QUERY
        WITH taken AS (DELETE FROM lovage_command AS c WHERE c.worker = p_id RETURNING c.seq, c.command)
        SELECT live, t.command FROM taken AS t ORDER BY t.seq;
END $$;

-- Leaves a command for a worker; answers whether it is registered.
CREATE FUNCTION lovage_tell(p_worker text, p_command text, p_now bigint) RETURNS boolean
LANGUAGE plpgsql SET search_path FROM CURRENT AS $$
DECLARE
    v_handle bigint;
BEGIN
    SELECT handle INTO v_handle FROM lovage_worker WHERE id = p_worker AND until > lovage_now(p_now);
    IF NOT FOUND THEN
        RETURN false;
    END IF;
    INSERT INTO lovage_command (worker, command) VALUES (p_worker, p_command);
    PERFORM lovage_tell_handle(v_handle, 'c');
    RETURN true;
END $$;
