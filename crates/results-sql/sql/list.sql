-- Rows that match, the newest first: ?1 now, ?2 since, ?3 until, ?4 states, ?5 worker, ?6 queue, ?7 error text, ?8 and ?9 where the last page ended, ?10 limit.
SELECT id, finished_at, record FROM lovage_result
WHERE until > ?1 AND (?2 IS NULL OR finished_at >= ?2) AND (?3 IS NULL OR finished_at < ?3)
  AND (?4 IS NULL OR state IN (SELECT value FROM json_each(?4))) AND (?5 IS NULL OR worker = ?5) AND (?6 IS NULL OR queue = ?6)
  AND (?7 IS NULL OR instr(error, ?7) > 0 OR EXISTS (SELECT 1 FROM json_each(record, '$.outcome.error.chain') AS c WHERE instr(c.value, ?7) > 0))
  AND (finished_at, id) < (?8, ?9)
ORDER BY finished_at DESC, id DESC LIMIT ?10
