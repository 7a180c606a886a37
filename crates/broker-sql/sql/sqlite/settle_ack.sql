-- Removes messages of a reservation: ?1 token, ?2 JSON list of ids in hexadecimal.
DELETE FROM lovage_task
WHERE place = 2 AND token = ?1 AND id IN (SELECT unhex(value) FROM json_each(?2))
RETURNING id, unique_key
