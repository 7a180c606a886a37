-- When something becomes due, a lease can be reclaimed, or a token is there for what is ready.
CREATE OR REPLACE FUNCTION lovage_next_event(p_queue integer) RETURNS bigint LANGUAGE plpgsql AS $$
BEGIN
    RETURN least(
        (SELECT min(due) FROM lovage_delayed WHERE queue = p_queue),
        -- No row where nothing is leased: `greatest` would pass over a null, and answer the guard.
        (SELECT greatest(r.until, (SELECT guarded_until FROM lovage_queue WHERE id = p_queue))
         FROM lovage_reservation AS r WHERE r.queue = p_queue ORDER BY r.queue, r.until LIMIT 1),
        (SELECT b.empty_until FROM lovage_rate AS b
         WHERE b.queue = p_queue AND EXISTS (SELECT FROM lovage_ready AS r WHERE r.queue = p_queue)));
END $$;
