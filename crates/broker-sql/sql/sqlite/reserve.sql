-- Leases the first ?3 ready messages of a queue that no worker has sorted yet; the answer is in no order.
UPDATE lovage_task SET place = 2, token = ?2, delivery = delivery + 1
WHERE seq IN (SELECT seq FROM lovage_task WHERE queue = ?1 AND place = 0 AND losses < 2 AND kind = 0 ORDER BY priority DESC, position LIMIT ?3)
RETURNING id, priority, position, body, run, delivery, attempt, losses, refused_since, published_at, revoked, replaced_by, until_start, unique_key, kind
