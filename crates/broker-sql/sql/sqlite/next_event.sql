-- When something becomes due, a lease ends, or a token is there for what is ready in a queue.
SELECT min(at) FROM (
    SELECT * FROM (SELECT at FROM lovage_task WHERE queue = ?1 AND place = 1 ORDER BY at LIMIT 1)
    UNION ALL SELECT * FROM (SELECT until FROM lovage_reservation WHERE queue = ?1 ORDER BY until LIMIT 1)
    UNION ALL SELECT * FROM (SELECT empty_until FROM lovage_queue WHERE name = ?1 AND empty_until IS NOT NULL
        AND EXISTS (SELECT 1 FROM lovage_task WHERE queue = ?1 AND place = 0)))
