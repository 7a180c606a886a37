-- How many workers are registered.
SELECT count(*) FROM lovage_worker
