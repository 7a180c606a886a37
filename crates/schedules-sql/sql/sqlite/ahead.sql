-- Enabled entries that are done beyond ?1, at most ?2.
FROM lovage_schedule WHERE enabled AND done_until > ?1 ORDER BY done_until DESC LIMIT ?2
