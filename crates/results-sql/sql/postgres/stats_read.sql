-- What was counted in rows of $1 minutes, from $2 to before $3. `sums` is a JSON row of the five counts, wait and run.
SELECT (extract(epoch FROM since) * 1000000)::bigint AS since, queue, task,
       jsonb_build_array(succeeded, failed, retried, cancelled, expired, wait, run)::text AS sums
FROM lovage_stat
WHERE span = $1::smallint AND since >= $2::timestamptz AND since < $3::timestamptz
