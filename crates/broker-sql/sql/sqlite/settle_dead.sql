-- Kept as a dead letter.
UPDATE lovage_task
SET place = 3, at = ?2, token = NULL, reason = ?3, notes = ?4, losses = 0, unique_key = NULL WHERE seq = ?1
