-- Takes ?1 positions at the head; answers the lowest.
UPDATE lovage_position SET head = head - ?1 WHERE one = 1 RETURNING head
