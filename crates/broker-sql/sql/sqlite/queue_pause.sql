-- Pauses or resumes a queue.
UPDATE lovage_queue SET paused = ?2 WHERE name = ?1
