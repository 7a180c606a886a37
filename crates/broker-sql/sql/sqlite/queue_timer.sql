-- Notes which idle handle looks again, and when.
UPDATE lovage_queue SET timer_handle = ?2, timer_at = ?3 WHERE name = ?1
