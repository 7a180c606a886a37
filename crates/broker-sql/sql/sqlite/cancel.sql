-- Marks a message as revoked; ?2 is its queue or null.
UPDATE lovage_task SET revoked = 1
WHERE seq = (SELECT seq FROM lovage_task WHERE id = ?1 AND (?2 IS NULL OR queue = ?2) AND place <> 3 ORDER BY queue LIMIT 1)
RETURNING seq, queue, place, token
