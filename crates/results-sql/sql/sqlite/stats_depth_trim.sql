-- Removes up to ?2 rows that tell of nothing after ?1.
DELETE FROM lovage_stat_depth
WHERE (span, since, queue) IN (
    SELECT span, since, queue FROM lovage_stat_depth
    WHERE span IN (1, 10, 60) AND since <= ?1 - span * 60000000
    LIMIT ?2)
