-- Removes up to ?3 messages of place ?2.
DELETE FROM lovage_task WHERE seq IN (SELECT seq FROM lovage_task WHERE queue = ?1 AND place = ?2 LIMIT ?3) RETURNING id, unique_key
