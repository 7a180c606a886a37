-- Stores a batch: ?1 now, ?2 JSON rows of [id in hexadecimal, terminal, until, record]. Answers the ids that were stored: new, newer, or in the place of an ended row.
INSERT INTO lovage_result (id, run, delivery, attempt, terminal, until, finished_at, record)
SELECT unhex(e.value ->> 0), e.value ->> '$[3].run', e.value ->> '$[3].delivery', e.value ->> '$[3].attempt',
       e.value ->> 1, e.value ->> 2, e.value ->> '$[3].finished_at', e.value -> 3
FROM json_each(?2) AS e
WHERE true
ON CONFLICT (id) DO UPDATE SET run = excluded.run, delivery = excluded.delivery, attempt = excluded.attempt,
    terminal = excluded.terminal, until = excluded.until, finished_at = excluded.finished_at, record = excluded.record
WHERE lovage_result.until <= ?1
   OR excluded.run > lovage_result.run
   OR (lovage_result.terminal = 0
       AND ((excluded.run, excluded.delivery, excluded.attempt) > (lovage_result.run, lovage_result.delivery, lovage_result.attempt)
            OR ((excluded.run, excluded.delivery, excluded.attempt) = (lovage_result.run, lovage_result.delivery, lovage_result.attempt)
                AND lovage_result.record ->> '$.state' = 'started' AND excluded.record ->> '$.state' <> 'started')))
RETURNING id
