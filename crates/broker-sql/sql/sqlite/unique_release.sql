-- Releases a unique key, if this task still holds it.
DELETE FROM lovage_unique WHERE queue = ?1 AND key = ?2 AND id = ?3
