-- The next rows: ?2 since, ?6 and ?7 where the last page ended.
FROM lovage_result WHERE finished_at >= ?2 AND (finished_at, id) < (?6, ?7)
