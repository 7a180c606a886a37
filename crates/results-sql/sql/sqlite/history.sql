-- The ended attempts of a task, oldest first.
SELECT record FROM lovage_attempt WHERE id = ?1 ORDER BY run, delivery, attempt
