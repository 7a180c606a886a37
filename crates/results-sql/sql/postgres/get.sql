-- Rows: $1 now (null: the server's clock), $2 ids.
FROM lovage_result WHERE id = ANY($2::uuid[]) AND until > (SELECT coalesce($1::timestamptz, clock_timestamp()))
