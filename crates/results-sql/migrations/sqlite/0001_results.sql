-- The tables of results: the newest row of each task, and its ended attempts.
--
-- `record` holds the whole row as JSON; what people filter and join by are columns computed from it. Instants are in
-- microseconds since 1970, `run_time` in microseconds, ids 16 bytes (those within a record are text).

CREATE TABLE lovage_result (
    id          BLOB PRIMARY KEY,
    run         INTEGER NOT NULL,
    delivery    INTEGER NOT NULL,
    attempt     INTEGER NOT NULL,
    terminal    INTEGER NOT NULL,
    until       INTEGER NOT NULL,
    finished_at INTEGER NOT NULL,
    record      TEXT NOT NULL,
    task        TEXT GENERATED ALWAYS AS (record ->> '$.task') VIRTUAL,
    state       TEXT GENERATED ALWAYS AS (record ->> '$.state') VIRTUAL,
    worker      TEXT GENERATED ALWAYS AS (record ->> '$.worker') VIRTUAL,
    queue       TEXT GENERATED ALWAYS AS (record ->> '$.queue') VIRTUAL,
    priority    INTEGER GENERATED ALWAYS AS (record ->> '$.priority') VIRTUAL,
    arguments   TEXT GENERATED ALWAYS AS (record ->> '$.arguments') VIRTUAL,
    result      TEXT GENERATED ALWAYS AS (record ->> '$.outcome.result') VIRTUAL,
    error_kind  TEXT GENERATED ALWAYS AS (record ->> '$.outcome.error.kind') VIRTUAL,
    error       TEXT GENERATED ALWAYS AS (record ->> '$.outcome.error.message') VIRTUAL,
    enqueued_at INTEGER GENERATED ALWAYS AS (record ->> '$.enqueued_at') VIRTUAL,
    started_at  INTEGER GENERATED ALWAYS AS (record ->> '$.started_at') VIRTUAL,
    run_time    INTEGER GENERATED ALWAYS AS
        (1000000 * (record ->> '$.run_time.secs') + (record ->> '$.run_time.nanos') / 1000) VIRTUAL,
    schedule    TEXT GENERATED ALWAYS AS (record ->> '$.schedule.name') VIRTUAL,
    root        TEXT GENERATED ALWAYS AS (record ->> '$.lineage.root') VIRTUAL,
    parent      TEXT GENERATED ALWAYS AS (record ->> '$.lineage.parent') VIRTUAL
) STRICT;
CREATE INDEX lovage_result_finished ON lovage_result (finished_at DESC, id DESC);
CREATE INDEX lovage_result_task ON lovage_result (task, finished_at DESC, id DESC);
CREATE INDEX lovage_result_state ON lovage_result (state, finished_at DESC, id DESC);
CREATE INDEX lovage_result_error ON lovage_result (finished_at DESC, id DESC) WHERE error IS NOT NULL;
CREATE INDEX lovage_result_until ON lovage_result (until);

CREATE TABLE lovage_attempt (
    id       BLOB NOT NULL,
    run      INTEGER NOT NULL,
    delivery INTEGER NOT NULL,
    attempt  INTEGER NOT NULL,
    record   TEXT NOT NULL,
    PRIMARY KEY (id, run, delivery, attempt)
) STRICT, WITHOUT ROWID;
