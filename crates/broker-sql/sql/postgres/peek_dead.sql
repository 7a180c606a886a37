-- The newest first.
-- $1 queue, $2 $3 keys of the last row, $4 limit
SELECT m.*, q.name AS queue_name, 3 AS place, d.since AS place_at, d.reason, d.since AS k1, d.seq AS k2
FROM lovage_queue AS q JOIN lovage_dead AS d ON d.queue = q.id
JOIN lovage_message AS m ON m.id = d.id AND m.queue = q.id
WHERE q.name = $1 AND (d.since, d.seq) < ($2, $3)
ORDER BY d.since DESC, d.seq DESC LIMIT $4
