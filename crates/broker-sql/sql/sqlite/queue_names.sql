-- Every queue, by name.
SELECT name FROM lovage_queue ORDER BY name
