-- Where a range was read to, if there were $4 rows.
) AS read
ORDER BY finished_at DESC, id DESC LIMIT 1 OFFSET $4 - 1
