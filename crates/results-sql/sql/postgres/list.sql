-- Rows that match, the newest first: $1 since, $2 and $3 where the last page ended, $4 states, $5 worker, $6 queue, $7 limit.
FROM lovage_result
WHERE finished_at >= $1::timestamptz AND (finished_at, id) < ($2::timestamptz, $3::uuid)
  AND until > clock_timestamp()
  AND ($4::text[] IS NULL OR state = ANY($4)) AND ($5::text IS NULL OR worker = $5) AND ($6::text IS NULL OR queue = $6)
ORDER BY finished_at DESC, id DESC LIMIT $7::bigint
