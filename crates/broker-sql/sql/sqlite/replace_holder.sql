-- Marks who holds a unique key at ?3 as replaced by ?4.
UPDATE lovage_task SET revoked = 1, replaced_by = ?4, unique_key = NULL
WHERE queue = ?1 AND id = (SELECT id FROM lovage_unique WHERE queue = ?1 AND key = ?2 AND (until IS NULL OR until > ?3))
RETURNING seq, place
