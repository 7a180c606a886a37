-- How many would be handed out before message ?2, if it is ready; those that are kept for another slot kind than its own are not.
SELECT (SELECT count(*) FROM lovage_task AS a WHERE a.queue = ?1 AND a.place = 0 AND a.losses >= 2
            AND (t.kind = 0 OR a.kind IN (0, t.kind))
            AND (t.losses < 2 OR a.priority > t.priority
                OR (a.priority = t.priority AND (a.kind = 0, a.position) < (t.kind = 0, t.position))))
     + (SELECT count(*) FROM lovage_task AS a WHERE a.queue = ?1 AND a.place = 0 AND a.losses < 2 AND t.losses < 2
            AND (t.kind = 0 OR a.kind IN (0, t.kind))
            AND (a.priority > t.priority
                OR (a.priority = t.priority AND (a.kind = 0, a.position) < (t.kind = 0, t.position))))
FROM lovage_task AS t WHERE t.id = ?2 AND t.queue = ?1 AND t.place = 0
