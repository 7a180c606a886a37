-- Returned unstarted: ready again at its place, kept for the slot kind ?2 (0: unsorted).
UPDATE lovage_task SET place = 0, token = NULL, kind = ?2, delivery = delivery - 1 WHERE seq = ?1
