-- When something becomes due or a lease ends in a queue.
SELECT min(at) FROM (
    SELECT * FROM (SELECT at FROM lovage_task WHERE queue = ?1 AND place = 1 ORDER BY at LIMIT 1)
    UNION ALL SELECT * FROM (SELECT until FROM lovage_reservation WHERE queue = ?1 ORDER BY until LIMIT 1))
