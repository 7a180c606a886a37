-- The next failures: as range_all.
FROM lovage_result
WHERE $5::text IS NULL AND error IS NOT NULL AND finished_at >= $1::timestamptz AND (finished_at, id) < ($2::timestamptz, $3::uuid)
ORDER BY finished_at DESC, id DESC LIMIT $4::bigint
