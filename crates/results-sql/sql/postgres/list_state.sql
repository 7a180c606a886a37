-- Rows in one state other than success that match: as list, and $8 the state.
FROM lovage_result
WHERE state = $8::text AND state <> 'success' AND finished_at >= $1::timestamptz AND (finished_at, id) < ($2::timestamptz, $3::uuid)
  AND until > clock_timestamp()
  AND ($4::text[] IS NULL OR state = ANY($4)) AND ($5::text IS NULL OR worker = $5) AND ($6::text IS NULL OR queue = $6)
ORDER BY finished_at DESC, id DESC LIMIT $7::bigint
