-- A message no longer claims its unique key.
UPDATE lovage_task SET unique_key = NULL WHERE id = ?1 AND queue = ?2
