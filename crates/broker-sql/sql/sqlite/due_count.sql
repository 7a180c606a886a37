-- How many delayed messages are due at ?2, counted up to ?3.
SELECT count(*) FROM (SELECT 1 FROM lovage_task WHERE queue = ?1 AND place = 1 AND at <= ?2 LIMIT ?3)
