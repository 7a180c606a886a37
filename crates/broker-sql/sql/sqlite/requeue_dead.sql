-- Makes a dead letter ready again as the next run, at position ?3.
UPDATE lovage_task
SET place = 0, kind = 0, at = NULL, position = ?3, run = run + 1, attempt = 0, losses = 0, refused_since = NULL, revoked = 0, replaced_by = NULL, reason = NULL
WHERE id = ?1 AND queue = ?2 AND place = 3
