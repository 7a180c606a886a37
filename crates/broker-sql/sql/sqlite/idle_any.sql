-- Whether a handle other than ?2 is idle.
SELECT 1 FROM lovage_idle WHERE queue = ?1 AND handle <> ?2 LIMIT 1
