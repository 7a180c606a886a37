-- Leases the first suspect of a queue, one that is kept for async slots if ?3, for blocking slots if ?4.
UPDATE lovage_task SET place = 2, token = ?2, delivery = delivery + 1
WHERE seq = (SELECT seq FROM (
    SELECT * FROM (SELECT seq, priority, position, kind FROM lovage_task WHERE queue = ?1 AND place = 0 AND losses >= 2 AND kind = 0 ORDER BY priority DESC, position LIMIT 1)
    UNION ALL
    SELECT * FROM (SELECT seq, priority, position, kind FROM lovage_task WHERE queue = ?1 AND place = 0 AND losses >= 2 AND kind = 1 ORDER BY priority DESC, position LIMIT ?3)
    UNION ALL
    SELECT * FROM (SELECT seq, priority, position, kind FROM lovage_task WHERE queue = ?1 AND place = 0 AND losses >= 2 AND kind = 2 ORDER BY priority DESC, position LIMIT ?4))
    ORDER BY priority DESC, kind = 0, position LIMIT 1)
RETURNING id, priority, position, body, run, delivery, attempt, losses, refused_since, published_at, revoked, replaced_by, until_start, unique_key, kind
