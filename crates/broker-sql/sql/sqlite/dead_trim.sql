-- Removes the oldest dead letters of a queue beyond ?2.
DELETE FROM lovage_task WHERE seq IN (
    SELECT seq FROM lovage_task WHERE queue = ?1 AND place = 3 ORDER BY at DESC LIMIT -1 OFFSET ?2)
