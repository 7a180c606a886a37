-- Failures that say a text: as list, and $8 the text, $9 the task, $10 how many failures are read for it.
FROM (
    SELECT * FROM lovage_result
    WHERE error IS NOT NULL AND finished_at >= $1::timestamptz AND (finished_at, id) < ($2::timestamptz, $3::uuid)
    ORDER BY finished_at DESC, id DESC LIMIT $10::bigint) AS read
WHERE until > clock_timestamp()
  AND ($4::text[] IS NULL OR state = ANY($4)) AND ($5::text IS NULL OR worker = $5) AND ($6::text IS NULL OR queue = $6)
  AND ($9::text IS NULL OR task = $9)
  AND (strpos(error, $8::text) > 0
       OR EXISTS (SELECT FROM jsonb_array_elements_text(error_chain) AS c (cause) WHERE strpos(cause, $8) > 0))
ORDER BY finished_at DESC, id DESC LIMIT $7::bigint
