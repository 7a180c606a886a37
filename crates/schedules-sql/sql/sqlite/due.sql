-- Entries that are due by ?1, at most ?2; with the instant at which the first of the others is due. One row without an entry
-- where none is.
WITH due AS MATERIALIZED (
    SELECT name, task, args, kwargs, schedule, queue, priority, headers, expires, start_time, end_time, one_off, enabled,
        description, misfire, overlap, jitter, revision, done_until, next_run_at, last_run_at, last_task_id, total_run_count,
        last_error, disabled_by, source, declared, edited, gone
    FROM lovage_schedule WHERE enabled AND next_run_at <= ?1
    ORDER BY next_run_at, name LIMIT ?2),
next AS MATERIALIZED (
    SELECT next_run_at FROM lovage_schedule WHERE enabled AND next_run_at IS NOT NULL
    ORDER BY next_run_at, name LIMIT 1 OFFSET (SELECT count(*) FROM due))
SELECT (SELECT next_run_at FROM next) AS next_at, due.* FROM (SELECT 1) LEFT JOIN due ON true
