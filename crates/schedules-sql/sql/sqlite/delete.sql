-- Removes the entries of the names in the JSON list ?1.
DELETE FROM lovage_schedule WHERE name IN (SELECT value FROM json_each(?1))
