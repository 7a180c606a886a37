-- Whether an id is live in a queue.
SELECT 1 FROM lovage_task WHERE id = ?1 AND queue = ?2
