-- The entries of the names in the JSON list ?1.
FROM lovage_schedule WHERE name IN (SELECT value FROM json_each(?1))
