-- Whether a message has not ended.
SELECT 1 FROM lovage_task WHERE id = ?1 AND queue = ?2 AND place <> 3
