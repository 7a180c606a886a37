-- Removes up to $3 firings that were decided more than $2 microseconds before $1 (null: the server's clock). Answers how many.
WITH chosen AS MATERIALIZED (
    SELECT ctid FROM lovage_firing
    WHERE at < (SELECT coalesce($1::timestamptz, clock_timestamp()) - $2::bigint * interval '1 microsecond')
    ORDER BY at LIMIT $3::bigint FOR UPDATE SKIP LOCKED),
removed AS (DELETE FROM lovage_firing WHERE ctid = ANY(ARRAY(SELECT ctid FROM chosen)) RETURNING 1)
SELECT count(*) FROM removed
