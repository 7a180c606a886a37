-- Who holds a unique key at ?3.
SELECT id FROM lovage_unique WHERE queue = ?1 AND key = ?2 AND (until IS NULL OR until > ?3)
