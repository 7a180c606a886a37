-- Adds what was counted. $1: JSON rows of [span, since in microseconds, queue, task, five counts, wait, run], each key once and in order.
INSERT INTO lovage_stat (span, since, queue, task, succeeded, failed, retried, cancelled, expired, wait, run)
SELECT (r ->> 0)::smallint, to_timestamp((r ->> 1)::bigint / 1000000), r ->> 2, r ->> 3, (r ->> 4)::bigint, (r ->> 5)::bigint,
       (r ->> 6)::bigint, (r ->> 7)::bigint, (r ->> 8)::bigint, r -> 9, r -> 10
FROM jsonb_array_elements($1::jsonb) AS r
ON CONFLICT (span, since, queue, task) DO UPDATE SET
    succeeded = lovage_stat.succeeded + excluded.succeeded, failed = lovage_stat.failed + excluded.failed,
    retried = lovage_stat.retried + excluded.retried, cancelled = lovage_stat.cancelled + excluded.cancelled,
    expired = lovage_stat.expired + excluded.expired, wait = lovage_stat_sum(lovage_stat.wait, excluded.wait),
    run = lovage_stat_sum(lovage_stat.run, excluded.run)
