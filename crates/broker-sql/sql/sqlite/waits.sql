-- Whether a message waits: ready, delayed, or for its next attempt.
SELECT 1 FROM lovage_task WHERE id = ?1 AND queue = ?2 AND place IN (0, 1)
