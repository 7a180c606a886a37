-- The columns of a row, in front of the statements that answer rows.
SELECT id, run, delivery, attempt, enqueued_at, started_at, finished_at, recorded_at, until, run_time, slot, group_index, root, parent,
       group_id, priority, state, task, queue, worker, arguments, result, marker, error_kind, error, error_chain, backtrace, schedule,
       headers, document
