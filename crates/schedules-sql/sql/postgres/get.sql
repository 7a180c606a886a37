-- The entries of the names $1.
FROM lovage_schedule WHERE name = ANY($1::text[])
