-- Entries by name: $1 at or after, $2 after, $3 before, $4 enabled or not, $5 limit.
FROM lovage_schedule WHERE name >= $1::text AND name > $2::text AND name < $3::text
    AND ($4::boolean IS NULL OR enabled = $4)
ORDER BY name LIMIT $5::bigint
