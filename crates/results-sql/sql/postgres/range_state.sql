-- The next rows in one state other than success: as range_all, and $5 the state.
FROM lovage_result
WHERE state = $5::text AND state <> 'success' AND finished_at >= $1::timestamptz AND (finished_at, id) < ($2::timestamptz, $3::uuid)
ORDER BY finished_at DESC, id DESC LIMIT $4::bigint
