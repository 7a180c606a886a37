-- Entries that the source $1 declared and that stand with what it declares now, the names $2.
FROM lovage_schedule
WHERE name = ANY(ARRAY(SELECT name FROM lovage_schedule WHERE source = $1::text) || $2::text[])
