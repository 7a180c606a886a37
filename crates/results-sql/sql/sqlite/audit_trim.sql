-- Removes up to ?2 actions from before ?1, the oldest first.
DELETE FROM lovage_audit WHERE id IN (SELECT id FROM lovage_audit WHERE at < ?1 ORDER BY at, id LIMIT ?2)
