-- The next rows: $1 since, $2 and $3 where the last page ended, $4 how many are read, $5 null.
FROM lovage_result
WHERE $5::text IS NULL AND finished_at >= $1::timestamptz AND (finished_at, id) < ($2::timestamptz, $3::uuid)
ORDER BY finished_at DESC, id DESC LIMIT $4::bigint
