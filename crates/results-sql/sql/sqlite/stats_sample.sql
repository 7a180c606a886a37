-- Adds what queues looked like. ?1: JSON rows of [span, since in microseconds, queue, ready, leased, delayed, dead, oldest], each key once.
INSERT INTO lovage_stat_depth (span, since, queue, ready, leased, delayed, dead, oldest)
SELECT e.value ->> 0, e.value ->> 1, e.value ->> 2, e.value ->> 3, e.value ->> 4, e.value ->> 5, e.value ->> 6, e.value ->> 7
FROM json_each(?1) AS e
WHERE true
ON CONFLICT (span, since, queue) DO UPDATE SET
    ready = max(ready, excluded.ready), leased = max(leased, excluded.leased), delayed = max(delayed, excluded.delayed),
    dead = max(dead, excluded.dead), oldest = max(oldest, excluded.oldest)
