-- A delayed message; ?2 is its queue or null.
SELECT seq, queue FROM lovage_task WHERE id = ?1 AND (?2 IS NULL OR queue = ?2) AND place = 1 ORDER BY queue LIMIT 1
