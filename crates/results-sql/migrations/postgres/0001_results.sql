-- The tables of results: the newest row of each task, and its ended attempts.
--
-- Read them, join them, show them in an admin page; write only through Lovage. `arguments` and `result` are JSON as it was
-- sent: cast them (`result::jsonb ->> 'sum'`). PostgreSQL cannot hold NUL characters in a text, nor every instant that
-- Lovage can: where a column had to bend something, `document` has the whole record as JSON, and is null otherwise.

CREATE TABLE lovage_result (
    id          uuid PRIMARY KEY,
    run         bigint NOT NULL,      -- 1, and one more for each "run again"
    delivery    bigint NOT NULL,      -- which hand-out to a worker
    attempt     bigint NOT NULL,      -- failed attempts in this run
    enqueued_at timestamptz NOT NULL,
    started_at  timestamptz,
    finished_at timestamptz NOT NULL,
    recorded_at timestamptz NOT NULL,
    until       timestamptz NOT NULL, -- after this the row may be removed, and is answered no more
    run_time    interval,
    slot        timestamptz,          -- what the schedule fired for
    group_index bigint,
    root        uuid,
    parent      uuid,
    group_id    uuid,
    priority    smallint NOT NULL,    -- 0 to 9
    terminal    boolean NOT NULL,     -- only "run again" leads out of the state
    state       text COLLATE "C" NOT NULL,
    task        text COLLATE "C" NOT NULL,
    queue       text NOT NULL,
    worker      text NOT NULL,
    arguments   text NOT NULL,
    result      text,
    marker      text,                 -- why there is no result
    error_kind  text,
    error       text,
    error_chain jsonb,                -- the messages of its causes, where it has any
    backtrace   text,
    schedule    text,
    headers     jsonb,
    document    text
);
-- Ascending, although lists are descending: so rows are added at the right end, which is cheap and leaves no holes.
CREATE INDEX lovage_result_finished ON lovage_result (finished_at, id);
CREATE INDEX lovage_result_task ON lovage_result (task, finished_at, id);
-- Not for successes, which are most rows: who lists those alone reads them by finished_at.
CREATE INDEX lovage_result_state ON lovage_result (state, finished_at, id) WHERE state <> 'success';
CREATE INDEX lovage_result_error ON lovage_result (finished_at, id) WHERE error IS NOT NULL;
CREATE INDEX lovage_result_until ON lovage_result (until);

-- Ended attempts that lovage_result does not tell of: a task that succeeds at once has none. Read lovage_history.
CREATE TABLE lovage_attempt (
    id          uuid NOT NULL,
    run         bigint NOT NULL,
    delivery    bigint NOT NULL,
    attempt     bigint NOT NULL,
    started_at  timestamptz,
    finished_at timestamptz NOT NULL,
    state       text NOT NULL,
    worker      text NOT NULL,
    error       text,
    PRIMARY KEY (id, run, delivery, attempt)
);

-- All ended attempts of all tasks.
CREATE VIEW lovage_history AS
SELECT id, run, delivery, attempt, started_at, finished_at, state, worker, error FROM lovage_attempt
UNION ALL
SELECT id, run, delivery, attempt, started_at, finished_at, state, worker,
       error || coalesce((SELECT string_agg(': ' || cause, '' ORDER BY place)
                          FROM jsonb_array_elements_text(error_chain) WITH ORDINALITY AS c (cause, place)), '')
FROM lovage_result AS r
WHERE state IN ('retry', 'success', 'failure')
  AND NOT EXISTS (SELECT FROM lovage_attempt AS a
                  WHERE (a.id, a.run, a.delivery, a.attempt) = (r.id, r.run, r.delivery, r.attempt));
