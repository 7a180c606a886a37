-- Entries that the source ?1 declared and that stand with what it declares now, the names in the JSON list ?2.
FROM lovage_schedule WHERE source = ?1 OR name IN (SELECT value FROM json_each(?2))
