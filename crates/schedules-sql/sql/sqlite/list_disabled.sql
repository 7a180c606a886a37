-- Disabled entries by name: as list.
FROM lovage_schedule WHERE NOT enabled AND name >= ?1 AND name > ?2 AND name < ?3 AND (?4 IS NULL OR enabled = ?4)
ORDER BY name LIMIT ?5
