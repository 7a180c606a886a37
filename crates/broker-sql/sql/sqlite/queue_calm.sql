-- Notes that maintain ran at ?2, with a lease of ?3, in those of the queues of ?1 in which nothing is ready, due or leased.
UPDATE lovage_queue
SET maintained_at = ?2, guarded_until = CASE
    WHEN maintained_at IS NULL OR ?2 - maintained_at > ?3 / 2 THEN ?2 + ?3
    WHEN guarded_until > ?2 THEN min(guarded_until, ?2 + ?3) END
WHERE name IN (SELECT value FROM json_each(?1)) AND (timer_at IS NULL OR timer_at > ?2)
    AND NOT EXISTS (SELECT 1 FROM lovage_task AS t WHERE t.queue = lovage_queue.name AND t.place = 0)
    AND NOT EXISTS (SELECT 1 FROM lovage_task AS t WHERE t.queue = lovage_queue.name AND t.place = 1 AND t.at <= ?2)
    AND NOT EXISTS (SELECT 1 FROM lovage_reservation AS r WHERE r.queue = lovage_queue.name)
RETURNING name
