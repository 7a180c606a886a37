-- Whether something can be reserved.
SELECT EXISTS (SELECT 1 FROM lovage_task WHERE queue = ?1 AND place = 0 AND losses < 2)
    OR EXISTS (SELECT 1 FROM lovage_task WHERE queue = ?1 AND place = 0 AND losses >= 2)
