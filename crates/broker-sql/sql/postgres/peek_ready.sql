-- $1 queue, $2 $3 keys of the last row, $4 limit
SELECT m.*, q.name AS queue_name, 0 AS place, NULL::bigint AS place_at, NULL::text AS reason,
    r.rank::bigint AS k1, r.seq AS k2
FROM lovage_queue AS q JOIN lovage_ready AS r ON r.queue = q.id
JOIN lovage_message AS m ON m.id = r.id AND m.queue = q.id
WHERE q.name = $1 AND (r.rank, r.seq) > ($2, $3)
ORDER BY r.rank, r.seq LIMIT $4
