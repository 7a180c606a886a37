-- Removes dead letters: ?1 queue, ?2 JSON list of ids in hexadecimal.
DELETE FROM lovage_task WHERE queue = ?1 AND place = 3 AND id IN (SELECT unhex(value) FROM json_each(?2))
