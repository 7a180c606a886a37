-- Of the rows that were read those that match, the newest first: $1 to $5 as in the ranges, $6 states, $7 worker, $8 queue, $9 limit, $10 task, $11 arguments, $12 the text.
) AS read
WHERE until > clock_timestamp() AND finished_at >= $1::timestamptz AND (finished_at, id) < ($2::timestamptz, $3::uuid)
  AND ($6::text[] IS NULL OR state = ANY($6)) AND ($7::text IS NULL OR worker = $7) AND ($8::text IS NULL OR queue = $8)
  AND ($10::text IS NULL OR task = $10) AND ($11::text IS NULL OR arguments = $11)
  AND ($12::text IS NULL OR strpos(lovage_said(error, error_chain), $12) > 0)
ORDER BY finished_at DESC, id DESC LIMIT $9::bigint
