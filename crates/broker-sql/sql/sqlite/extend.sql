-- Renews reservations of a queue: ?1 queue, ?2 end, ?3 JSON list of tokens in hexadecimal.
UPDATE lovage_reservation SET until = ?2
WHERE queue = ?1 AND token IN (SELECT unhex(value) FROM json_each(?3)) RETURNING token
