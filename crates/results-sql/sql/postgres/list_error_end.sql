-- Where list_error stopped to read: $1 since, $2 and $3 where the last page ended, $4 how many failures it read. No row when it read all.
SELECT finished_at, id FROM lovage_result
WHERE error IS NOT NULL AND finished_at >= $1::timestamptz AND (finished_at, id) < ($2::timestamptz, $3::uuid)
ORDER BY finished_at DESC, id DESC LIMIT 1 OFFSET $4::bigint - 1
