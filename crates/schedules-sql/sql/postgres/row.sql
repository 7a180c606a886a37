-- The columns of an entry, in front of the statements that answer entries.
SELECT name, task, args, kwargs, schedule, queue, priority, headers, expires, start_time, end_time, one_off, enabled,
    description, misfire, overlap, jitter, revision, done_until, next_run_at, last_run_at, last_task_id, total_run_count,
    last_error, rewound_at, rewound_from, disabled_by, source, declared, edited, gone
