-- Entries by name: ?1 at or after, ?2 after, ?3 before, ?4 enabled or not, ?5 limit.
FROM lovage_schedule WHERE name >= ?1 AND name > ?2 AND name < ?3 AND (?4 IS NULL OR enabled = ?4)
ORDER BY name LIMIT ?5
