-- Keeps the newest ?2 attempts of a task.
DELETE FROM lovage_attempt WHERE id = ?1 AND (run, delivery, attempt) IN (
    SELECT run, delivery, attempt FROM lovage_attempt WHERE id = ?1 ORDER BY run DESC, delivery DESC, attempt DESC LIMIT -1 OFFSET ?2)
