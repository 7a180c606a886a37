-- Removes a worker.
DELETE FROM lovage_worker WHERE id = ?1
