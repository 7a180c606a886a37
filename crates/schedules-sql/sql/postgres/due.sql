-- Entries that are due by $1 (null: the server's clock) and $2 microseconds later, at most $3; with the clock, and the instant
-- at which the first of the others is due. One row without an entry where none is.
WITH clock AS MATERIALIZED (
    SELECT now, now + $2::bigint * interval '1 microsecond' AS bound
    FROM (SELECT coalesce($1::timestamptz, clock_timestamp()) AS now) AS n),
due AS MATERIALIZED (
    SELECT name, task, args, kwargs, schedule, queue, priority, headers, expires, start_time, end_time, one_off, enabled,
        description, misfire, overlap, jitter, revision, done_until, next_run_at, last_run_at, last_task_id, total_run_count,
        last_error, disabled_by, source, declared, edited, gone
    FROM lovage_schedule WHERE enabled AND next_run_at <= (SELECT bound FROM clock)
    ORDER BY next_run_at, name LIMIT $3::bigint),
next AS MATERIALIZED (
    SELECT next_run_at FROM lovage_schedule WHERE enabled AND next_run_at IS NOT NULL
    ORDER BY next_run_at, name OFFSET (SELECT count(*) FROM due) LIMIT 1)
SELECT clock.now, (SELECT next_run_at FROM next) AS next_at, due.* FROM clock LEFT JOIN due ON true
ORDER BY due.next_run_at, due.name
