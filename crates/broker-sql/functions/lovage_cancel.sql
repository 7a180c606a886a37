-- Marks a message as revoked; without a queue the first that has it. Answers `none`, `waiting` or `leased`.
CREATE OR REPLACE FUNCTION lovage_cancel(p_id uuid, p_queue text, p_now bigint) RETURNS text
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
