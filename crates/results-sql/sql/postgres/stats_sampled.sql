-- The queues that have a sample in the minute that begins at $1.
SELECT queue FROM lovage_stat_depth WHERE span = 1 AND since = $1::timestamptz ORDER BY queue
