-- Sets or lifts the rate limit of a queue; it begins with all tokens.
UPDATE lovage_queue SET rate = ?2, spent = 0, empty_until = NULL WHERE name = ?1
