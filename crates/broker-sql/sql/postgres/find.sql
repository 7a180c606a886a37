-- A live message; without a queue the first that has it.
-- $1 id, $2 queue or null
SELECT m.*, q.name AS queue_name, p.place, p.at AS place_at, p.reason
FROM lovage_message AS m JOIN lovage_queue AS q ON q.id = m.queue CROSS JOIN LATERAL lovage_place(m) AS p
WHERE m.id = $1 AND ($2::text IS NULL OR q.name = $2) AND p.place IS NOT NULL
ORDER BY q.name LIMIT 1
