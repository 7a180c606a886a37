-- What queues looked like in rows of $1 minutes, from $2 to before $3. `sums` is a JSON row of the five numbers.
SELECT (extract(epoch FROM since) * 1000000)::bigint AS since, queue,
       jsonb_build_array(ready, leased, delayed, dead, oldest)::text AS sums
FROM lovage_stat_depth
WHERE span = $1::smallint AND since >= $2::timestamptz AND since < $3::timestamptz
ORDER BY since, queue
