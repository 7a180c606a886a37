-- How many messages a reservation holds.
SELECT count(*) FROM lovage_task WHERE token = ?1 AND place = 2
