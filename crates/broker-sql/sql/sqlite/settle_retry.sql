-- A failed attempt: ready again at ?2, or now when it is null, at position ?3.
UPDATE lovage_task
SET place = ?2 IS NOT NULL, at = ?2, position = ?3, token = NULL, kind = 0, attempt = attempt + 1, losses = 0, notes = ?4 WHERE seq = ?1
