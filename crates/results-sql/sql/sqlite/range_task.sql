-- The next rows of one task: as range_all, and ?9 the task.
FROM lovage_result WHERE task = ?9 AND finished_at >= ?2 AND (finished_at, id) < (?6, ?7)
