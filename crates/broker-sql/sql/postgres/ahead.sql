-- How many would be handed out before a message that is ready.
-- $1 queue, $2 id
SELECT (SELECT count(*) FROM lovage_ready AS a WHERE a.queue = r.queue AND (a.rank, a.seq) < (r.rank, r.seq)) AS ahead
FROM lovage_message AS m JOIN lovage_queue AS q ON q.id = m.queue
JOIN lovage_ready AS r ON r.queue = m.queue AND r.rank = m.rank AND r.seq = m.seq
WHERE q.name = $1 AND m.id = $2
