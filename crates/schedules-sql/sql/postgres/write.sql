-- Writes entries, $1 as a JSON list of rows; not one whose revision is another than the one before. Answers their names.
INSERT INTO lovage_schedule AS s (name, task, args, kwargs, schedule, queue, priority, headers, expires, start_time, end_time,
    one_off, enabled, description, misfire, overlap, jitter, revision, done_until, next_run_at, last_error, disabled_by, source,
    declared, edited, gone)
SELECT name, task, args, kwargs, schedule, queue, priority, headers, expires, start_time, end_time,
    one_off, enabled, description, misfire, overlap, jitter, revision,
    'epoch'::timestamptz + done_until * interval '1 microsecond', 'epoch'::timestamptz + next_run_at * interval '1 microsecond',
    last_error, disabled_by, source, declared, edited, gone
FROM jsonb_to_recordset($1::jsonb) AS i (name text, task text, args text, kwargs text, schedule text, queue text,
    priority smallint, headers text, expires text, start_time text, end_time text, one_off boolean, enabled boolean,
    description text, misfire text, overlap text, jitter text, revision bigint, done_until bigint, next_run_at bigint,
    last_error text, disabled_by text, source text, declared text, edited boolean, gone boolean)
ON CONFLICT (name) DO UPDATE SET
    task = excluded.task, args = excluded.args, kwargs = excluded.kwargs, schedule = excluded.schedule, queue = excluded.queue,
    priority = excluded.priority, headers = excluded.headers, expires = excluded.expires, start_time = excluded.start_time,
    end_time = excluded.end_time, one_off = excluded.one_off, enabled = excluded.enabled, description = excluded.description,
    misfire = excluded.misfire, overlap = excluded.overlap, jitter = excluded.jitter, revision = excluded.revision,
    done_until = excluded.done_until, next_run_at = excluded.next_run_at, last_error = excluded.last_error,
    disabled_by = excluded.disabled_by, source = excluded.source, declared = excluded.declared, edited = excluded.edited,
    gone = excluded.gone
WHERE s.revision = excluded.revision - 1
RETURNING name
