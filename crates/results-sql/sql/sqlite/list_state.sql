-- Rows in one state that match: as list, and ?9 the state.
SELECT record FROM lovage_result
WHERE state = ?9 AND until > ?1 AND finished_at >= ?2 AND (finished_at, id) < (?6, ?7)
  AND (?3 IS NULL OR state IN (SELECT value FROM json_each(?3))) AND (?4 IS NULL OR worker = ?4) AND (?5 IS NULL OR queue = ?5)
ORDER BY finished_at DESC, id DESC LIMIT ?8
