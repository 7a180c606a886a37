-- The slot kinds for which something can be reserved: 1 async, 2 blocking, 3 both.
SELECT CASE WHEN EXISTS (SELECT 1 FROM lovage_task WHERE queue = ?1 AND place = 0 AND losses < 2 AND kind = 0)
    OR EXISTS (SELECT 1 FROM lovage_task WHERE queue = ?1 AND place = 0 AND losses >= 2 AND kind = 0) THEN 3
ELSE EXISTS (SELECT 1 FROM lovage_task WHERE queue = ?1 AND place = 0 AND losses < 2 AND kind = 1)
    | EXISTS (SELECT 1 FROM lovage_task WHERE queue = ?1 AND place = 0 AND losses >= 2 AND kind = 1)
    | (EXISTS (SELECT 1 FROM lovage_task WHERE queue = ?1 AND place = 0 AND losses < 2 AND kind = 2)
    | EXISTS (SELECT 1 FROM lovage_task WHERE queue = ?1 AND place = 0 AND losses >= 2 AND kind = 2)) << 1 END
