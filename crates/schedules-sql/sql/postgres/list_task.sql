-- Entries of one task by name: as list, and $6 the task.
FROM lovage_schedule WHERE task = $6::text AND name >= $1::text AND name > $2::text AND name < $3::text
    AND ($4::boolean IS NULL OR enabled = $4)
ORDER BY name LIMIT $5::bigint
