-- Leases the first suspect of a queue.
UPDATE lovage_task SET place = 2, token = ?2, delivery = delivery + 1
WHERE seq = (SELECT seq FROM lovage_task WHERE queue = ?1 AND place = 0 AND losses >= 2 ORDER BY priority DESC, position LIMIT 1)
RETURNING id, priority, position, body, run, delivery, attempt, losses, refused_since, published_at, revoked, replaced_by, until_start, unique_key
