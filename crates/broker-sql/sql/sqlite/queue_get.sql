-- What is kept of a queue.
SELECT paused, maintained_at, guarded_until, timer_handle, timer_at, rate, spent, empty_until, sorted FROM lovage_queue WHERE name = ?1
