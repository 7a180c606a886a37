-- Rows: $1 now (null: the server's clock), $2 ids. The clock is read for each row: so no plan goes by the index of `until`.
FROM lovage_result WHERE id = ANY($2::uuid[]) AND until > coalesce($1::timestamptz, clock_timestamp())
