-- Takes the handle that has been idle the longest of those that want one of the slot kinds ?2.
DELETE FROM lovage_idle
WHERE queue = ?1 AND handle = (SELECT handle FROM lovage_idle WHERE queue = ?1 AND kinds & ?2 ORDER BY seq LIMIT 1) RETURNING handle
