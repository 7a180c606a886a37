-- Of a range what matches, the newest first: ?1 now, ?3 states, ?4 worker, ?5 queue, ?8 limit, ?10 task, ?11 arguments, ?12 the text, ?13 and ?14 where the range ends.
  AND (finished_at, id) >= (?13, ?14) AND until > ?1
  AND (?3 IS NULL OR state IN (SELECT value FROM json_each(?3))) AND (?4 IS NULL OR worker = ?4) AND (?5 IS NULL OR queue = ?5)
  AND (?10 IS NULL OR task = ?10) AND (?11 IS NULL OR arguments = ?11)
  AND (?12 IS NULL OR instr(lower(substr(error || coalesce(
          (SELECT group_concat(char(10) || value, '') FROM json_each(record, '$.outcome.error.chain')), ''), 1, 1000)), ?12) > 0)
ORDER BY finished_at DESC, id DESC LIMIT ?8
