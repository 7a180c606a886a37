-- Makes delayed messages ready that are due at ?2, at most ?3, in the order of their times, at positions after ?4.
UPDATE lovage_task SET place = 0, at = NULL, position = ?4 + due.nth
FROM (SELECT seq AS due_seq, row_number() OVER (ORDER BY at, seq) AS nth
      FROM (SELECT seq, at FROM lovage_task WHERE queue = ?1 AND place = 1 AND at <= ?2 ORDER BY at LIMIT ?3)) AS due
WHERE lovage_task.seq = due.due_seq
