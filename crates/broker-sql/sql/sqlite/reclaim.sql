-- Makes messages of an ended reservation ready again at the head: ?1 token, ?2 position before the lowest, ?3 how many.
UPDATE lovage_task SET place = 0, token = NULL, kind = 0, losses = losses + 1, position = ?2 + lost.nth
FROM (SELECT seq AS lost_seq, row_number() OVER (ORDER BY priority DESC, position) AS nth
      FROM (SELECT seq, priority, position FROM lovage_task WHERE token = ?1 AND place = 2 ORDER BY priority DESC, position LIMIT ?3)) AS lost
WHERE lovage_task.seq = lost.lost_seq
