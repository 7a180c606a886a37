-- $1 queue, $2 $3 keys of the last row, $4 limit
SELECT m.*, q.name AS queue_name, 2 AS place, r.until AS place_at, NULL::text AS reason,
    m.rank::bigint AS k1, m.seq AS k2
FROM lovage_queue AS q JOIN lovage_reservation AS r ON r.queue = q.id JOIN lovage_leased AS l ON l.token = r.token
JOIN lovage_message AS m ON m.id = l.id AND m.queue = q.id
WHERE q.name = $1 AND (m.rank, m.seq) > ($2, $3)
ORDER BY m.rank, m.seq LIMIT $4
