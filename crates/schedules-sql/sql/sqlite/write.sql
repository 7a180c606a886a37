-- Writes entries, ?1 as a JSON list of rows.
INSERT INTO lovage_schedule (name, task, args, kwargs, schedule, queue, priority, headers, expires, start_time, end_time,
    one_off, enabled, description, misfire, overlap, jitter, revision, done_until, next_run_at, last_error, disabled_by, source,
    declared, edited, gone)
SELECT value ->> '$.name', value ->> '$.task', value ->> '$.args', value ->> '$.kwargs', value ->> '$.schedule',
    value ->> '$.queue', value ->> '$.priority', value ->> '$.headers', value ->> '$.expires', value ->> '$.start_time',
    value ->> '$.end_time', value ->> '$.one_off', value ->> '$.enabled', value ->> '$.description', value ->> '$.misfire',
    value ->> '$.overlap', value ->> '$.jitter', value ->> '$.revision', value ->> '$.done_until', value ->> '$.next_run_at',
    value ->> '$.last_error', value ->> '$.disabled_by', value ->> '$.source', value ->> '$.declared', value ->> '$.edited',
    value ->> '$.gone'
FROM json_each(?1) WHERE true
ON CONFLICT (name) DO UPDATE SET
    task = excluded.task, args = excluded.args, kwargs = excluded.kwargs, schedule = excluded.schedule, queue = excluded.queue,
    priority = excluded.priority, headers = excluded.headers, expires = excluded.expires, start_time = excluded.start_time,
    end_time = excluded.end_time, one_off = excluded.one_off, enabled = excluded.enabled, description = excluded.description,
    misfire = excluded.misfire, overlap = excluded.overlap, jitter = excluded.jitter, revision = excluded.revision,
    done_until = excluded.done_until, next_run_at = excluded.next_run_at, last_error = excluded.last_error,
    disabled_by = excluded.disabled_by, source = excluded.source, declared = excluded.declared, edited = excluded.edited,
    gone = excluded.gone
