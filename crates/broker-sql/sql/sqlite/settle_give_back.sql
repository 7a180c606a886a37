-- Handed back without an outcome: ready again at ?2, or now when it is null, at position ?3; refused since ?4.
UPDATE lovage_task
SET place = ?2 IS NOT NULL, at = ?2, position = ?3, token = NULL, kind = 0, refused_since = coalesce(refused_since, ?4) WHERE seq = ?1
