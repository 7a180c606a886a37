-- Renews the registration of a worker whose loop cannot.
-- $1 worker, $2 what is said of it, $3 time to live, $4 now or null
UPDATE lovage_worker SET info = $2, seen = lovage_now($4), until = lovage_now($4) + $3
WHERE id = $1 AND until > lovage_now($4)
RETURNING id
