-- Cancelled messages of reservations: ?1 JSON list of tokens in hexadecimal.
SELECT id FROM lovage_task
WHERE place = 2 AND token IN (SELECT unhex(value) FROM json_each(?1)) AND revoked = 1
