-- Entries that are due by ?1, at most ?2, with the slots that they are not done with and that fired already; with the instant
-- at which the first of the others is due, the store's identity, and whether entries are done beyond ?3. One row without an
-- entry where none is due.
WITH due AS MATERIALIZED (
    SELECT name, task, args, kwargs, schedule, queue, priority, headers, expires, start_time, end_time, one_off, enabled,
        description, misfire, overlap, jitter, revision, done_until, next_run_at, last_run_at, last_task_id, total_run_count,
        last_error, rewound_at, rewound_from, disabled_by, source, declared, edited, gone
    FROM lovage_schedule WHERE enabled AND next_run_at <= ?1
    ORDER BY next_run_at, name LIMIT ?2),
next AS MATERIALIZED (
    SELECT next_run_at FROM lovage_schedule WHERE enabled AND next_run_at IS NOT NULL
    ORDER BY next_run_at, name LIMIT 1 OFFSET (SELECT count(*) FROM due))
SELECT (SELECT next_run_at FROM next) AS next_at, (SELECT id FROM lovage_schedule_store) AS store,
    EXISTS (SELECT 1 FROM lovage_schedule WHERE enabled AND done_until > ?3) AS any_ahead,
    (SELECT json_group_array(slot) FROM lovage_firing
     WHERE lovage_firing.name = due.name AND slot > due.done_until AND fate = 'fired') AS fired_ahead,
    due.* FROM (SELECT 1) LEFT JOIN due ON true
