-- Removes up to $2 rows whose time to live has ended by $1 (null: the server's clock), with their attempts. Answers how many.
WITH chosen AS MATERIALIZED (
    SELECT id FROM lovage_result WHERE until <= (SELECT coalesce($1::timestamptz, clock_timestamp()))
    ORDER BY until LIMIT $2::bigint FOR UPDATE SKIP LOCKED),
removed AS (DELETE FROM lovage_result WHERE id = ANY(ARRAY(SELECT id FROM chosen)) RETURNING id),
forgotten AS (DELETE FROM lovage_attempt WHERE id = ANY(ARRAY(SELECT id FROM removed)))
SELECT count(*) FROM removed
