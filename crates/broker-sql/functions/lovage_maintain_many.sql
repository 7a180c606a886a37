-- Maintains several queues, as `lovage_maintain` does each; `request` is the position of its queue, from 1 on. Queues in which
-- nothing is ready, due or leased only note that this ran, all of them in one statement. Every transaction that locks several
-- queues does so in the order of their numbers.
CREATE OR REPLACE FUNCTION lovage_maintain_many(p_queues text[], p_now bigint, p_limit integer, p_lease bigint)
RETURNS TABLE (request bigint, reclaimed integer, promoted integer, is_ready boolean, is_leased boolean)
LANGUAGE plpgsql SET search_path FROM CURRENT AS $$
DECLARE
    v_now bigint := lovage_now(p_now);
    v_calm integer[];
BEGIN
    SELECT array_agg(q.id) INTO v_calm FROM unnest(p_queues) AS t (name) JOIN lovage_queue AS q ON q.name = t.name
    WHERE (q.timer_at IS NULL OR q.timer_at > v_now)
        AND NOT EXISTS (SELECT FROM lovage_ready AS r WHERE r.queue = q.id)
        AND NOT EXISTS (SELECT FROM lovage_delayed AS d WHERE d.queue = q.id AND d.due <= v_now)
        AND NOT EXISTS (SELECT FROM lovage_reservation AS r WHERE r.queue = q.id);
    FOR request, reclaimed, promoted, is_ready, is_leased IN
        SELECT t.nth, m.reclaimed, m.promoted, m.is_ready, m.is_leased
        FROM (SELECT u.name, u.nth FROM unnest(p_queues) WITH ORDINALITY AS u (name, nth)
              LEFT JOIN lovage_queue AS q ON q.name = u.name
              WHERE v_calm IS NULL OR q.id IS NULL OR q.id <> ALL (v_calm) ORDER BY q.id, u.name OFFSET 0) AS t
        CROSS JOIN LATERAL lovage_maintain(t.name, v_now, p_limit, p_lease) AS m
    LOOP
        RETURN NEXT;
    END LOOP;
    -- One that another transaction changes at this moment is maintained there.
    WITH calm AS MATERIALIZED (
        SELECT q.id FROM lovage_queue AS q WHERE q.id = ANY (v_calm) ORDER BY q.id FOR UPDATE SKIP LOCKED)
    UPDATE lovage_queue AS q SET maintained_at = v_now, guarded_until = CASE
        WHEN q.maintained_at IS NULL OR v_now - q.maintained_at > p_lease / 2 THEN v_now + p_lease
        WHEN q.guarded_until > v_now THEN least(q.guarded_until, v_now + p_lease) END
    FROM calm WHERE q.id = calm.id;
    RETURN QUERY
        SELECT t.nth, 0, 0, false, false FROM unnest(p_queues) WITH ORDINALITY AS t (name, nth)
        JOIN lovage_queue AS q ON q.name = t.name WHERE q.id = ANY (v_calm);
END $$;
