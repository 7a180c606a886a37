-- The handle of a registered worker.
SELECT handle FROM lovage_worker WHERE id = ?1 AND until > ?2
