-- Takes ?1 positions at the tail; answers the last.
UPDATE lovage_position SET tail = tail + ?1 WHERE one = 1 RETURNING tail
