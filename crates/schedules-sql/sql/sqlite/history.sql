-- Firings of the entry ?1 before the slot ?2 and fate ?3 that reach to ?4 or later, the newest first, at most ?5.
--
-- Of those that begin earlier only the last that stands for several slots can: such rows do not overlap.
SELECT slot, fate, last_slot, at, task_id, note FROM lovage_firing
WHERE name = ?1 AND (slot, fate) < (?2, ?3)
  AND slot >= coalesce(
      (SELECT slot FROM lovage_firing INDEXED BY lovage_firing_range
       WHERE name = ?1 AND slot <= ?4 AND last_slot > slot ORDER BY slot DESC LIMIT 1), ?4)
  AND last_slot >= ?4
ORDER BY slot DESC, fate DESC LIMIT ?5
