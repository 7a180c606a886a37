-- $1 queue
SELECT (SELECT count(*) FROM lovage_ready AS r WHERE r.queue = q.id) AS ready,
    (SELECT count(*) FROM lovage_delayed AS d WHERE d.queue = q.id) AS delayed,
    (SELECT count(*) FROM lovage_reservation AS r JOIN lovage_leased AS l ON l.token = r.token WHERE r.queue = q.id) AS leased,
    (SELECT count(*) FROM lovage_dead AS d WHERE d.queue = q.id) AS dead,
    q.paused,
    (SELECT b.rate FROM lovage_rate AS b WHERE b.queue = q.id) AS rate,
    (SELECT m.published_at FROM (
        (SELECT r.id, r.queue, r.rank, r.seq FROM lovage_ready AS r WHERE r.queue = q.id AND r.rank BETWEEN 0 AND 19
         ORDER BY r.queue, r.rank, r.seq LIMIT 1)
        UNION ALL
        (SELECT r.id, r.queue, r.rank, r.seq FROM lovage_ready AS r WHERE r.queue = q.id AND r.rank BETWEEN 20 AND 39
         ORDER BY r.queue, r.rank, r.seq LIMIT 1)
        UNION ALL
        (SELECT r.id, r.queue, r.rank, r.seq FROM lovage_ready AS r WHERE r.queue = q.id AND r.rank BETWEEN 40 AND 59
         ORDER BY r.queue, r.rank, r.seq LIMIT 1)) AS r
     JOIN lovage_message AS m ON m.id = r.id AND m.queue = r.queue
     ORDER BY r.rank % 20, r.rank < 20, r.seq LIMIT 1) AS oldest_ready
FROM lovage_queue AS q WHERE q.name = $1
