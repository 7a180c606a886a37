-- How many would be handed out before message ?2, if it is ready.
SELECT (SELECT count(*) FROM lovage_task AS a WHERE a.queue = ?1 AND a.place = 0 AND a.losses >= 2
            AND (t.losses < 2 OR a.priority > t.priority OR (a.priority = t.priority AND a.position < t.position)))
     + (SELECT count(*) FROM lovage_task AS a WHERE a.queue = ?1 AND a.place = 0 AND a.losses < 2 AND t.losses < 2
            AND (a.priority > t.priority OR (a.priority = t.priority AND a.position < t.position)))
FROM lovage_task AS t WHERE t.id = ?2 AND t.queue = ?1 AND t.place = 0
