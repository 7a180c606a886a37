-- $1 queue, $2 $3 keys of the last row, $4 limit. The queue's number comes from a subquery: joined, nothing would be read in order.
SELECT m.*, $1::text AS queue_name, 0 AS place, NULL::bigint AS place_at, NULL::text AS reason,
    r.rank::bigint AS k1, r.seq AS k2
FROM lovage_ready AS r JOIN lovage_message AS m ON m.id = r.id AND m.queue = r.queue
WHERE r.queue = (SELECT q.id FROM lovage_queue AS q WHERE q.name = $1) AND (r.rank, r.seq) > ($2, $3)
ORDER BY r.rank, r.seq LIMIT $4
