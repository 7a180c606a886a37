-- A live message; ?2 is its queue or null.
SELECT seq, id, queue, place, priority, position, at, run, delivery, attempt, losses, published_at, revoked, reason, notes, replaced_by, unique_key, body,
    (SELECT until FROM lovage_reservation AS r WHERE r.token = lovage_task.token) AS until
FROM lovage_task WHERE id = ?1 AND (?2 IS NULL OR queue = ?2) ORDER BY queue LIMIT 1
