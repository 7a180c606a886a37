-- Entries that are due by $1 (null: the server's clock) and $2 microseconds later, at most $3, with the slots that they are not
-- done with and that fired already; with the clock, the instant at which the first of the others is due, the store's identity,
-- and whether entries are done more than $4 microseconds ahead of the clock. One row without an entry where none is due.
WITH clock AS MATERIALIZED (
    SELECT now, now + $2::bigint * interval '1 microsecond' AS bound,
        now + $4::bigint * interval '1 microsecond' AS latest
    FROM (SELECT coalesce($1::timestamptz, clock_timestamp()) AS now) AS n),
due AS MATERIALIZED (
    SELECT name, task, args, kwargs, schedule, queue, priority, headers, expires, start_time, end_time, one_off, enabled,
        description, misfire, overlap, jitter, revision, done_until, next_run_at, last_run_at, last_task_id, total_run_count,
        last_error, rewound_at, rewound_from, disabled_by, source, declared, edited, gone
    FROM lovage_schedule WHERE enabled AND next_run_at <= (SELECT bound FROM clock)
    ORDER BY next_run_at, name LIMIT $3::bigint),
next AS MATERIALIZED (
    SELECT next_run_at FROM lovage_schedule WHERE enabled AND next_run_at IS NOT NULL
    ORDER BY next_run_at, name OFFSET (SELECT count(*) FROM due) LIMIT 1)
SELECT clock.now, (SELECT next_run_at FROM next) AS next_at, (SELECT id FROM lovage_schedule_store) AS store,
    EXISTS (SELECT 1 FROM lovage_schedule WHERE enabled AND done_until > (SELECT latest FROM clock)) AS any_ahead,
    ARRAY(SELECT (extract(epoch FROM f.slot) * 1000000)::bigint FROM lovage_firing AS f
          WHERE f.name = due.name AND f.slot > due.done_until AND f.fate = 'fired') AS fired_ahead,
    due.* FROM clock LEFT JOIN due ON true
ORDER BY due.next_run_at, due.name
