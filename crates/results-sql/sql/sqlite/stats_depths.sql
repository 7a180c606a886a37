-- What queues looked like in rows of ?1 minutes, from ?2 to before ?3. `sums` is a JSON row of the five numbers.
SELECT since, queue, json_array(ready, leased, delayed, dead, oldest) AS sums
FROM lovage_stat_depth
WHERE span = ?1 AND since >= ?2 AND since < ?3
ORDER BY since, queue
