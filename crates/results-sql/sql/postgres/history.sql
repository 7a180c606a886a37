-- The newest $2 ended attempts of the task $1, oldest first.
SELECT * FROM (
    SELECT run, delivery, attempt, started_at, finished_at, state, worker, error FROM lovage_history
    WHERE id = $1::uuid ORDER BY run DESC, delivery DESC, attempt DESC LIMIT $2::bigint) AS newest
ORDER BY run, delivery, attempt
