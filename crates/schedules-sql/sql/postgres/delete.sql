-- Removes the entries $1, locking them in the order in which advance does. Answers how many there were.
WITH chosen AS MATERIALIZED (SELECT name FROM lovage_schedule WHERE name = ANY($1::text[]) ORDER BY name FOR UPDATE),
removed AS (DELETE FROM lovage_schedule WHERE name = ANY(ARRAY(SELECT name FROM chosen)) RETURNING 1)
SELECT count(*) FROM removed
