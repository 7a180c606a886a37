-- The newest first.
-- $1 queue, $2 $3 keys of the last row, $4 limit. The queue's number comes from a subquery: joined, nothing would be read in order.
SELECT m.*, $1::text AS queue_name, 3 AS place, d.since AS place_at, d.reason, d.since AS k1, d.seq AS k2
FROM lovage_dead AS d JOIN lovage_message AS m ON m.id = d.id AND m.queue = d.queue
WHERE d.queue = (SELECT q.id FROM lovage_queue AS q WHERE q.name = $1) AND (d.since, d.seq) < ($2, $3)
ORDER BY d.since DESC, d.seq DESC LIMIT $4
