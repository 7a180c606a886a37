-- Removes attempts: ?1 JSON list of ids in hexadecimal.
DELETE FROM lovage_attempt WHERE id IN (SELECT unhex(value) FROM json_each(?1))
