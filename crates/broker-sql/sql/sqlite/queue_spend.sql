-- Takes tokens of a queue with a rate limit.
UPDATE lovage_queue SET spent = ?2, empty_until = ?3 WHERE name = ?1
