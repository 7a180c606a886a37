-- Removes the rows $1 with their attempts, locking them in the order in which record does. Answers how many there were.
WITH chosen AS MATERIALIZED (SELECT id FROM lovage_result WHERE id = ANY($1::uuid[]) ORDER BY id FOR UPDATE),
removed AS (DELETE FROM lovage_result WHERE id = ANY(ARRAY(SELECT id FROM chosen)) RETURNING id),
forgotten AS (DELETE FROM lovage_attempt WHERE id = ANY($1) AND (SELECT count(*) FROM removed) >= 0)
SELECT count(*) FROM removed
