-- What happened and what queues looked like, per minute, per ten minutes and per hour: dashboards read these instead of results.
--
-- Each row of ten minutes or of an hour is the sum (of samples: the most) of its minutes, written together with them, so that
-- a week is read from few rows. `span` is in minutes (1, 10 or 60), `since` and `oldest` in microseconds. `wait` (from the
-- publish to the first start) and `run` are histograms, bucket -> how many: bucket n holds what took at most
-- 100 us * 10^(n/10), bucket 91 everything longer.

CREATE TABLE lovage_stat (
    span      INTEGER NOT NULL,
    since     INTEGER NOT NULL,
    queue     TEXT NOT NULL,
    task      TEXT NOT NULL,
    succeeded INTEGER NOT NULL,
    failed    INTEGER NOT NULL,
    retried   INTEGER NOT NULL,
    cancelled INTEGER NOT NULL,
    expired   INTEGER NOT NULL,
    wait      TEXT NOT NULL,
    run       TEXT NOT NULL,
    PRIMARY KEY (span, since, queue, task)
) STRICT, WITHOUT ROWID;

CREATE TABLE lovage_stat_depth (
    span    INTEGER NOT NULL,
    since   INTEGER NOT NULL,
    queue   TEXT NOT NULL,
    ready   INTEGER NOT NULL,
    leased  INTEGER NOT NULL,
    delayed INTEGER NOT NULL,
    dead    INTEGER NOT NULL,
    oldest  INTEGER NOT NULL,
    PRIMARY KEY (span, since, queue)
) STRICT, WITHOUT ROWID;
