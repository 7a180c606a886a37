-- Registers a worker, keeps what its tasks hide when it is new, forgets those whose time is over, and takes what it was
-- told (`command`, oldest first). Answers at least one row.
CREATE OR REPLACE FUNCTION lovage_heartbeat(p_id text, p_handle bigint, p_name text, p_info text, p_ttl bigint, p_now bigint)
RETURNS TABLE (live bigint, command text) LANGUAGE plpgsql SET search_path FROM CURRENT AS $$
DECLARE
    v_now bigint := lovage_now(p_now);
BEGIN
    IF NOT EXISTS (SELECT FROM lovage_worker WHERE id = p_id) THEN
        PERFORM lovage_learn(p_info::json);
    END IF;
    -- A clock that was set back must not stretch a registration.
    UPDATE lovage_worker SET until = v_now + until - seen, seen = v_now WHERE seen > v_now;
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
