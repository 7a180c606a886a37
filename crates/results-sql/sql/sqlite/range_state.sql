-- The next rows in one state: as range_all, and ?9 the state.
FROM lovage_result WHERE state = ?9 AND finished_at >= ?2 AND (finished_at, id) < (?6, ?7)
