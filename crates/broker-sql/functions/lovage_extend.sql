-- Renews reservations. Answers which are still there (`kept`), and which of their messages were cancelled.
CREATE OR REPLACE FUNCTION lovage_extend(p_queue text, p_now bigint, p_tokens uuid[], p_lease bigint)
RETURNS TABLE (kept uuid, revoked uuid)
LANGUAGE plpgsql SET search_path FROM CURRENT AS $$
DECLARE
    v_queue integer := lovage_queue_id(p_queue);
BEGIN
    RETURN QUERY
        UPDATE lovage_reservation AS r SET until = lovage_now(p_now) + p_lease, lease = p_lease
        WHERE r.queue = v_queue AND r.token = ANY (p_tokens) RETURNING r.token, NULL::uuid;
    RETURN QUERY
        SELECT NULL::uuid, m.id FROM lovage_message AS m
        JOIN lovage_leased AS l ON l.id = m.id AND l.token = ANY (p_tokens)
        WHERE m.queue = v_queue AND m.revoked;
END $$;
