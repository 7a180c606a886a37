-- Failures that say a text: as list, and ?9 the text, ?10 the task, ?11 how many failures are read for it.
SELECT record FROM (
    SELECT id, finished_at, until, task, state, worker, queue, error, record FROM lovage_result
    WHERE error IS NOT NULL AND finished_at >= ?2 AND (finished_at, id) < (?6, ?7)
    ORDER BY finished_at DESC, id DESC LIMIT ?11)
WHERE until > ?1
  AND (?3 IS NULL OR state IN (SELECT value FROM json_each(?3))) AND (?4 IS NULL OR worker = ?4) AND (?5 IS NULL OR queue = ?5)
  AND (?10 IS NULL OR task = ?10)
  AND (instr(error, ?9) > 0 OR EXISTS (SELECT 1 FROM json_each(record, '$.outcome.error.chain') AS c WHERE instr(c.value, ?9) > 0))
ORDER BY finished_at DESC, id DESC LIMIT ?8
