-- What happened and what queues looked like, per minute, per ten minutes and per hour: dashboards read these instead of results.
--
-- Each row of ten minutes or of an hour is the sum (of samples: the most) of its minutes, written together with them, so that
-- a week is read from few rows. `wait` and `run` are histograms: bucket -> how many. Bucket n holds what took at most
-- 100 us * 10^(n/10), bucket 91 everything longer.

CREATE TABLE lovage_stat (
    span      smallint NOT NULL,    -- minutes: 1, 10 or 60
    since     timestamptz NOT NULL, -- the begin, a multiple of span
    queue     text COLLATE "C" NOT NULL,
    task      text COLLATE "C" NOT NULL,
    succeeded bigint NOT NULL,
    failed    bigint NOT NULL,      -- for good
    retried   bigint NOT NULL,      -- attempts that will be tried again
    cancelled bigint NOT NULL,
    expired   bigint NOT NULL,
    wait      jsonb NOT NULL,       -- from the publish to the first start
    run       jsonb NOT NULL,       -- of each attempt
    PRIMARY KEY (span, since, queue, task)
) WITH (fillfactor = 80);

CREATE TABLE lovage_stat_depth (
    span    smallint NOT NULL,
    since   timestamptz NOT NULL,
    queue   text COLLATE "C" NOT NULL,
    ready   bigint NOT NULL,
    leased  bigint NOT NULL,
    delayed bigint NOT NULL,
    dead    bigint NOT NULL,
    oldest  bigint NOT NULL,        -- microseconds that the oldest ready one had been waiting
    PRIMARY KEY (span, since, queue)
) WITH (fillfactor = 80);

-- The sum of two histograms.
CREATE FUNCTION lovage_stat_sum(a jsonb, b jsonb) RETURNS jsonb LANGUAGE sql IMMUTABLE AS $$
    SELECT coalesce(jsonb_object_agg(key, n), '{}')
    FROM (SELECT key, sum(value::bigint) AS n
          FROM (SELECT * FROM jsonb_each_text(a) UNION ALL SELECT * FROM jsonb_each_text(b)) AS all_of_them
          GROUP BY key) AS sums
$$;
