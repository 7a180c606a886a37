-- Removes up to ?2 rows whose time to live has ended by ?1.
DELETE FROM lovage_result WHERE id IN (SELECT id FROM lovage_result WHERE until <= ?1 ORDER BY until LIMIT ?2) RETURNING id
