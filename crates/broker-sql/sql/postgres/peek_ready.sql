-- In the order of reservation: within a priority kept messages come before those that no worker has sorted. $2 has the rank
-- twice, and one more for a message that no worker has sorted.
-- $1 queue, $2 $3 keys of the last row, $4 limit. The queue's number comes from a subquery: joined, nothing would be read in order.
SELECT m.*, $1::text AS queue_name, 0 AS place, NULL::bigint AS place_at, NULL::text AS reason, r.k1, r.k2
FROM (
    SELECT * FROM (
        (SELECT r.id, r.queue, r.rank * 2 + 1::bigint AS k1, r.seq AS k2 FROM lovage_ready AS r
         WHERE r.queue = (SELECT q.id FROM lovage_queue AS q WHERE q.name = $1) AND r.rank < 20
             AND (r.rank, r.seq) > (CASE WHEN $2::bigint & 1 = 1 THEN $2::bigint >> 1 ELSE ($2::bigint >> 1) - 1 END, CASE WHEN $2::bigint & 1 = 1 THEN $3 ELSE 9223372036854775807 END)
         ORDER BY r.rank, r.seq LIMIT $4)
        UNION ALL
        (SELECT r.id, r.queue, (r.rank - 20) * 2::bigint AS k1, r.seq AS k2 FROM lovage_ready AS r
         WHERE r.queue = (SELECT q.id FROM lovage_queue AS q WHERE q.name = $1) AND r.rank < 40
             AND (r.rank, r.seq) > (($2::bigint >> 1) + 20, CASE WHEN $2::bigint & 1 = 0 THEN $3 ELSE 9223372036854775807 END)
             AND r.rank >= 20
         ORDER BY r.rank, r.seq LIMIT $4)
        UNION ALL
        (SELECT r.id, r.queue, (r.rank - 40) * 2::bigint AS k1, r.seq AS k2 FROM lovage_ready AS r
         WHERE r.queue = (SELECT q.id FROM lovage_queue AS q WHERE q.name = $1) AND r.rank < 60
             AND (r.rank, r.seq) > (($2::bigint >> 1) + 40, CASE WHEN $2::bigint & 1 = 0 THEN $3 ELSE 9223372036854775807 END)
             AND r.rank >= 40
         ORDER BY r.rank, r.seq LIMIT $4)) AS lists
    ORDER BY k1, k2 LIMIT $4) AS r
JOIN lovage_message AS m ON m.id = r.id AND m.queue = r.queue
ORDER BY r.k1, r.k2
