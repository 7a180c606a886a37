-- Live messages of a queue.
-- $1 queue, $2 ids
SELECT m.*, q.name AS queue_name, p.place, p.at AS place_at, p.reason
FROM lovage_message AS m JOIN lovage_queue AS q ON q.id = m.queue CROSS JOIN LATERAL lovage_place(m) AS p
WHERE m.id = ANY ($2) AND q.name = $1 AND p.place IS NOT NULL
