-- Counts a run of the entry ?1, at ?2, as the task ?3.
UPDATE lovage_schedule SET
    total_run_count = total_run_count + 1,
    last_task_id = CASE WHEN ?2 >= coalesce(last_run_at, ?2) THEN ?3 ELSE last_task_id END,
    last_run_at = max(coalesce(last_run_at, ?2), ?2)
WHERE name = ?1
