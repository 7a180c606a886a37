-- The next failures: as range_all.
FROM lovage_result WHERE error IS NOT NULL AND finished_at >= ?2 AND (finished_at, id) < (?6, ?7)
