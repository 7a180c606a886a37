-- Leases the first ?3 ready messages of a queue, of those that are kept at most ?4 for async and ?5 for blocking slots; the answer is in no order.
UPDATE lovage_task SET place = 2, token = ?2, delivery = delivery + 1
WHERE seq IN (SELECT seq FROM (
    SELECT * FROM (SELECT seq, priority, position, kind FROM lovage_task WHERE queue = ?1 AND place = 0 AND losses < 2 AND kind = 0 ORDER BY priority DESC, position LIMIT ?3)
    UNION ALL
    SELECT * FROM (SELECT seq, priority, position, kind FROM lovage_task WHERE queue = ?1 AND place = 0 AND losses < 2 AND kind = 1 ORDER BY priority DESC, position LIMIT ?4)
    UNION ALL
    SELECT * FROM (SELECT seq, priority, position, kind FROM lovage_task WHERE queue = ?1 AND place = 0 AND losses < 2 AND kind = 2 ORDER BY priority DESC, position LIMIT ?5))
    ORDER BY priority DESC, kind = 0, position LIMIT ?3)
RETURNING id, priority, position, body, run, delivery, attempt, losses, refused_since, published_at, revoked, replaced_by, until_start, unique_key, kind
