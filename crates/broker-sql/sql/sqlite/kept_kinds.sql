-- The slot kinds for which messages are kept that are no suspects: 1 async, 2 blocking, 3 both.
SELECT EXISTS (SELECT 1 FROM lovage_task WHERE queue = ?1 AND place = 0 AND losses < 2 AND kind = 1)
    + 2 * EXISTS (SELECT 1 FROM lovage_task WHERE queue = ?1 AND place = 0 AND losses < 2 AND kind = 2)
