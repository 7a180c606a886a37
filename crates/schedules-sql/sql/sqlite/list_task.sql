-- Entries of one task by name: as list, and ?6 the task.
FROM lovage_schedule WHERE task = ?6 AND name >= ?1 AND name > ?2 AND name < ?3 AND (?4 IS NULL OR enabled = ?4)
ORDER BY name LIMIT ?5
