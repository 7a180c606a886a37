-- What was counted in rows of ?1 minutes, from ?2 to before ?3. `sums` is a JSON row of the five counts, wait and run.
SELECT since, queue, task, json_array(succeeded, failed, retried, cancelled, expired, json(wait), json(run)) AS sums
FROM lovage_stat
WHERE span = ?1 AND since >= ?2 AND since < ?3
