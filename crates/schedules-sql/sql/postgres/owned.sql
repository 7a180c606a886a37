-- Entries that the source $1 declared and that stand with what it declares now, the names $2.
FROM lovage_schedule WHERE source = $1::text OR name = ANY($2::text[])
