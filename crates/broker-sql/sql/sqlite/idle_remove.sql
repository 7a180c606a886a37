-- A handle is no longer idle.
DELETE FROM lovage_idle WHERE queue = ?1 AND handle = ?2
