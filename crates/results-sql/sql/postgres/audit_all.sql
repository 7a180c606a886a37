-- The next actions: $1 since, $2 and $3 where the last page ended, $4 how many, $5 and $6 null.
WHERE $5::text IS NULL AND $6::text IS NULL AND at >= $1::timestamptz AND (at, id) < ($2::timestamptz, $3::bigint)
ORDER BY at DESC, id DESC LIMIT $4::bigint
