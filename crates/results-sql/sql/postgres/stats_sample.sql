-- Adds what queues looked like. $1: JSON rows of [span, since in microseconds, queue, ready, leased, delayed, dead, oldest], each key once and in order.
INSERT INTO lovage_stat_depth (span, since, queue, ready, leased, delayed, dead, oldest)
SELECT (r ->> 0)::smallint, to_timestamp((r ->> 1)::bigint / 1000000), r ->> 2, (r ->> 3)::bigint, (r ->> 4)::bigint,
       (r ->> 5)::bigint, (r ->> 6)::bigint, (r ->> 7)::bigint
FROM jsonb_array_elements($1::jsonb) AS r
ON CONFLICT (span, since, queue) DO UPDATE SET
    ready = greatest(lovage_stat_depth.ready, excluded.ready), leased = greatest(lovage_stat_depth.leased, excluded.leased),
    delayed = greatest(lovage_stat_depth.delayed, excluded.delayed), dead = greatest(lovage_stat_depth.dead, excluded.dead),
    oldest = greatest(lovage_stat_depth.oldest, excluded.oldest)
