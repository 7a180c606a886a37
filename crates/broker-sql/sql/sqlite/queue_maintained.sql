-- Notes that maintain ran.
UPDATE lovage_queue SET maintained_at = ?2, guarded_until = ?3 WHERE name = ?1
