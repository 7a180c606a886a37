-- Takes the waiters of ended messages: ?1 queue, ?2 JSON list of ids in hexadecimal.
DELETE FROM lovage_waiter
WHERE queue = ?1 AND id IN (SELECT unhex(value) FROM json_each(?2)) RETURNING id, handle
