-- Whether a reservation at ?2 would be handed something, and whether messages are leased.
SELECT q.paused = 0 AND coalesce(q.empty_until <= ?2, 1)
        AND EXISTS (SELECT 1 FROM lovage_task WHERE queue = ?1 AND place = 0) AS is_ready,
    EXISTS (SELECT 1 FROM lovage_reservation WHERE queue = ?1) AS is_leased
FROM lovage_queue AS q WHERE q.name = ?1
