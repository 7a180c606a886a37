-- How many would be handed out before a message that is ready: within a priority kept messages come before those that no worker
-- has sorted; what is kept for another slot kind than its own is not counted.
-- $1 queue, $2 id
SELECT (SELECT count(*) FROM lovage_ready AS a
        WHERE a.queue = r.queue AND a.rank >= r.rank / 20 * 20 AND (a.rank, a.seq) < (r.rank, r.seq))
    + CASE WHEN r.rank >= 20 THEN
        (SELECT count(*) FROM lovage_ready AS a WHERE a.queue = r.queue AND a.rank < r.rank % 20)
    ELSE (SELECT count(*) FROM lovage_ready AS a WHERE a.queue = r.queue AND a.rank BETWEEN 20 AND r.rank + 20)
        + (SELECT count(*) FROM lovage_ready AS a WHERE a.queue = r.queue AND a.rank BETWEEN 40 AND r.rank + 40)
    END AS ahead
FROM lovage_message AS m JOIN lovage_queue AS q ON q.id = m.queue
JOIN lovage_ready AS r ON r.queue = m.queue AND r.rank = m.rank AND r.seq = m.seq
WHERE q.name = $1 AND m.id = $2
