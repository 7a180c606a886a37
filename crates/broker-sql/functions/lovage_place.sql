-- Where a message is: 0 ready, 1 delayed (with its time), 2 leased (with the lease's end), 3 dead (since, why).
CREATE OR REPLACE FUNCTION lovage_place(m lovage_message, OUT place integer, OUT at bigint, OUT reason text)
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
