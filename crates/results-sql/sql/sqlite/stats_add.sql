-- Adds what was counted. ?1: JSON rows of [span, since in microseconds, queue, task, five counts, wait, run], each key once.
INSERT INTO lovage_stat (span, since, queue, task, succeeded, failed, retried, cancelled, expired, wait, run)
SELECT e.value ->> 0, e.value ->> 1, e.value ->> 2, e.value ->> 3, e.value ->> 4, e.value ->> 5, e.value ->> 6, e.value ->> 7,
       e.value ->> 8, e.value -> 9, e.value -> 10
FROM json_each(?1) AS e
WHERE true
ON CONFLICT (span, since, queue, task) DO UPDATE SET
    succeeded = succeeded + excluded.succeeded, failed = failed + excluded.failed, retried = retried + excluded.retried,
    cancelled = cancelled + excluded.cancelled, expired = expired + excluded.expired,
    wait = (SELECT json_group_object(key, n) FROM (SELECT key, sum(value) AS n FROM (
        SELECT key, value FROM json_each(lovage_stat.wait) UNION ALL SELECT key, value FROM json_each(excluded.wait)) GROUP BY key)),
    run = (SELECT json_group_object(key, n) FROM (SELECT key, sum(value) AS n FROM (
        SELECT key, value FROM json_each(lovage_stat.run) UNION ALL SELECT key, value FROM json_each(excluded.run)) GROUP BY key))
