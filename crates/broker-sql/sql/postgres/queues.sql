-- Every queue.
SELECT name AS queue_name FROM lovage_queue ORDER BY name
