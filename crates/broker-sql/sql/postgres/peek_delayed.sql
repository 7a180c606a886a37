-- $1 queue, $2 $3 keys of the last row, $4 limit
SELECT m.*, q.name AS queue_name, 1 AS place, d.due AS place_at, NULL::text AS reason, d.due AS k1, d.seq AS k2
FROM lovage_queue AS q JOIN lovage_delayed AS d ON d.queue = q.id
JOIN lovage_message AS m ON m.id = d.id AND m.queue = q.id
WHERE q.name = $1 AND (d.due, d.seq) > ($2, $3)
ORDER BY d.due, d.seq LIMIT $4
