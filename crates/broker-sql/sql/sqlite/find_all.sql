-- Live messages of a queue: ?1 queue, ?2 JSON list of ids in hexadecimal.
SELECT seq, id, queue, place, priority, position, at, run, delivery, attempt, losses, published_at, revoked, reason, notes, replaced_by, unique_key, body,
    (SELECT until FROM lovage_reservation AS r WHERE r.token = lovage_task.token) AS until
FROM lovage_task WHERE queue = ?1 AND id IN (SELECT unhex(value) FROM json_each(?2))
