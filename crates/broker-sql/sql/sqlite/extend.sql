-- Renews reservations of a queue: ?1 queue, ?2 now, ?3 JSON list of tokens in hexadecimal, ?4 length.
UPDATE lovage_reservation SET until = ?2 + ?4, lease = ?4
WHERE queue = ?1 AND token IN (SELECT unhex(value) FROM json_each(?3)) RETURNING token
