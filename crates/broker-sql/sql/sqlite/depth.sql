-- How much is where in a queue.
SELECT
    (SELECT count(*) FROM lovage_task WHERE queue = ?1 AND place = 0 AND losses < 2) + (SELECT count(*) FROM lovage_task WHERE queue = ?1 AND place = 0 AND losses >= 2),
    (SELECT count(*) FROM lovage_task WHERE queue = ?1 AND place = 1),
    (SELECT count(*) FROM lovage_task JOIN lovage_reservation AS r USING (token) WHERE r.queue = ?1 AND place = 2),
    (SELECT count(*) FROM lovage_task WHERE queue = ?1 AND place = 3),
    coalesce((SELECT paused FROM lovage_queue WHERE name = ?1), 0),
    (SELECT rate FROM lovage_queue WHERE name = ?1),
    coalesce((SELECT published_at FROM (
        SELECT * FROM (SELECT published_at, priority, kind, position FROM lovage_task WHERE queue = ?1 AND place = 0 AND losses >= 2 AND kind = 0 ORDER BY priority DESC, position LIMIT 1)
        UNION ALL
        SELECT * FROM (SELECT published_at, priority, kind, position FROM lovage_task WHERE queue = ?1 AND place = 0 AND losses >= 2 AND kind = 1 ORDER BY priority DESC, position LIMIT 1)
        UNION ALL
        SELECT * FROM (SELECT published_at, priority, kind, position FROM lovage_task WHERE queue = ?1 AND place = 0 AND losses >= 2 AND kind = 2 ORDER BY priority DESC, position LIMIT 1))
        ORDER BY priority DESC, kind = 0, position LIMIT 1),
             (SELECT published_at FROM (
        SELECT * FROM (SELECT published_at, priority, kind, position FROM lovage_task WHERE queue = ?1 AND place = 0 AND losses < 2 AND kind = 0 ORDER BY priority DESC, position LIMIT 1)
        UNION ALL
        SELECT * FROM (SELECT published_at, priority, kind, position FROM lovage_task WHERE queue = ?1 AND place = 0 AND losses < 2 AND kind = 1 ORDER BY priority DESC, position LIMIT 1)
        UNION ALL
        SELECT * FROM (SELECT published_at, priority, kind, position FROM lovage_task WHERE queue = ?1 AND place = 0 AND losses < 2 AND kind = 2 ORDER BY priority DESC, position LIMIT 1))
        ORDER BY priority DESC, kind = 0, position LIMIT 1))
