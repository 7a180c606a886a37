-- Makes reservations of several queues, as `lovage_reserve` makes each; `request` is the position of its queue, from 1 on.
-- `p_wants` has the numbers of each kind for the first queue, then those for the second one, and so on. Every transaction that locks several queues does so in the order of their numbers.
CREATE OR REPLACE FUNCTION lovage_reserve_many(
    p_queues text[], p_now bigint, p_max integer[], p_tokens uuid[], p_lease bigint[], p_suspects boolean[], p_handle bigint,
    p_wants integer[])
RETURNS TABLE (
    request bigint, now bigint, next_check bigint, nth bigint, id uuid, priority smallint, run integer, delivery integer,
    attempt integer, losses integer, refused_since bigint, published_at bigint, revoked boolean, replaced_by uuid,
    until_start boolean, kind integer, body bytea)
LANGUAGE plpgsql SET search_path FROM CURRENT AS $$
DECLARE
    v_now bigint := lovage_now(p_now);
    v_kinds integer := cardinality(p_wants) / greatest(cardinality(p_queues), 1);
    v_request bigint;
BEGIN
    FOR v_request IN
        SELECT t.nth FROM unnest(p_queues) WITH ORDINALITY AS t (name, nth)
        LEFT JOIN lovage_queue AS q ON q.name = t.name ORDER BY q.id, t.name
    LOOP
        RETURN QUERY SELECT v_request, r.* FROM lovage_reserve(
            p_queues[v_request], v_now, p_max[v_request], p_tokens[v_request], p_lease[v_request],
            p_suspects[v_request], p_handle, p_wants[(v_request - 1) * v_kinds + 1 : v_request * v_kinds]) AS r;
    END LOOP;
END $$;
