-- The next rows of one task: as range_all, and $5 the task.
FROM lovage_result
WHERE task = $5::text AND finished_at >= $1::timestamptz AND (finished_at, id) < ($2::timestamptz, $3::uuid)
ORDER BY finished_at DESC, id DESC LIMIT $4::bigint
