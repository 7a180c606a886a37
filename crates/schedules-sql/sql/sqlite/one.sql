-- The entry ?1.
FROM lovage_schedule WHERE name = ?1
