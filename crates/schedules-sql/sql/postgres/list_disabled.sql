-- Disabled entries by name: as list.
FROM lovage_schedule WHERE NOT enabled AND name >= $1::text AND name > $2::text AND name < $3::text
    AND ($4::boolean IS NULL OR enabled = $4)
ORDER BY name LIMIT $5::bigint
