-- The entry $1, which nobody else writes from now on.
FROM lovage_schedule WHERE name = $1::text FOR UPDATE
