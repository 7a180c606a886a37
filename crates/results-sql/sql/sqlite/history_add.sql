-- Adds ended attempts: ?1 JSON rows of [id in hexadecimal, attempt].
INSERT INTO lovage_attempt (id, run, delivery, attempt, record)
SELECT unhex(e.value ->> 0), e.value ->> '$[1].run', e.value ->> '$[1].delivery', e.value ->> '$[1].attempt', e.value -> 1
FROM json_each(?1) AS e
WHERE true
ON CONFLICT DO NOTHING
