-- The tables of the broker: one row per live message, and what belongs to queues, reservations and participants.

CREATE TABLE lovage_queue (
    name          TEXT PRIMARY KEY,
    paused        INTEGER NOT NULL DEFAULT 0,
    -- When `maintain` last ran, and until when nothing is reclaimed after an absence.
    maintained_at INTEGER,
    guarded_until INTEGER,
    -- Which idle handle looks again at which instant.
    timer_handle  TEXT,
    timer_at      INTEGER,
    -- Rate limit: as it is written, when all tokens are back, and when the next one is where the last reservation left none.
    rate          TEXT,
    spent         INTEGER NOT NULL DEFAULT 0,
    empty_until   INTEGER,
    -- 1 once a message was returned unstarted: then reservations look at the messages that are kept for slot kinds, too.
    sorted        INTEGER NOT NULL DEFAULT 0
) STRICT, WITHOUT ROWID;

-- Positions in the order of becoming ready: the tail grows, the head shrinks.
CREATE TABLE lovage_position (
    one  INTEGER PRIMARY KEY CHECK (one = 1),
    tail INTEGER NOT NULL,
    head INTEGER NOT NULL
) STRICT;
INSERT INTO lovage_position (one, tail, head) VALUES (1, 0, 0);

-- place: 0 ready, 1 delayed, 2 leased, 3 dead.
CREATE TABLE lovage_task (
    seq           INTEGER PRIMARY KEY,
    id            BLOB NOT NULL,
    queue         TEXT NOT NULL,
    place         INTEGER NOT NULL,
    priority      INTEGER NOT NULL,
    position      INTEGER NOT NULL,
    -- Delayed: due. Dead: since.
    at            INTEGER,
    token         BLOB,
    run           INTEGER NOT NULL DEFAULT 1,
    delivery      INTEGER NOT NULL DEFAULT 0,
    attempt       INTEGER NOT NULL DEFAULT 0,
    losses        INTEGER NOT NULL DEFAULT 0,
    refused_since INTEGER,
    published_at  INTEGER NOT NULL,
    revoked       INTEGER NOT NULL DEFAULT 0,
    reason        TEXT,
    notes         TEXT,
    unique_key    TEXT,
    body          BLOB NOT NULL,
    until_start   INTEGER NOT NULL DEFAULT 0,
    replaced_by   BLOB,
    -- The slot kind that it is kept for: 0 no worker has sorted it yet, 1 async, 2 blocking.
    kind          INTEGER NOT NULL DEFAULT 0
) STRICT;
CREATE UNIQUE INDEX lovage_task_id ON lovage_task (id, queue);
CREATE INDEX lovage_task_ready ON lovage_task (queue, kind, priority DESC, position) WHERE place = 0 AND losses < 2;
CREATE INDEX lovage_task_suspect ON lovage_task (queue, kind, priority DESC, position) WHERE place = 0 AND losses >= 2;
CREATE INDEX lovage_task_delayed ON lovage_task (queue, at) WHERE place = 1;
CREATE INDEX lovage_task_leased ON lovage_task (token) WHERE place = 2;
CREATE INDEX lovage_task_dead ON lovage_task (queue, at) WHERE place = 3;

CREATE TABLE lovage_reservation (
    token  BLOB PRIMARY KEY,
    queue  TEXT NOT NULL,
    handle TEXT NOT NULL,
    until  INTEGER NOT NULL,
    -- The length of the lease in microseconds.
    lease  INTEGER NOT NULL
) STRICT, WITHOUT ROWID;
CREATE INDEX lovage_reservation_until ON lovage_reservation (queue, until);

CREATE TABLE lovage_unique (
    queue TEXT NOT NULL,
    key   TEXT NOT NULL,
    id    BLOB NOT NULL,
    until INTEGER,
    PRIMARY KEY (queue, key)
) STRICT, WITHOUT ROWID;

CREATE TABLE lovage_fence (
    queue TEXT NOT NULL,
    name  TEXT NOT NULL,
    slot  INTEGER NOT NULL,
    PRIMARY KEY (queue, name)
) STRICT, WITHOUT ROWID;

CREATE TABLE lovage_waiter (
    id     BLOB NOT NULL,
    queue  TEXT NOT NULL,
    handle TEXT NOT NULL,
    PRIMARY KEY (id, queue, handle)
) STRICT, WITHOUT ROWID;

CREATE TABLE lovage_idle (
    queue  TEXT NOT NULL,
    handle TEXT NOT NULL,
    seq    INTEGER NOT NULL,
    -- The slot kinds that it wants: 1 async, 2 blocking, 3 both.
    kinds  INTEGER NOT NULL,
    PRIMARY KEY (queue, handle)
) STRICT, WITHOUT ROWID;

CREATE TABLE lovage_worker (
    id     BLOB PRIMARY KEY,
    handle TEXT NOT NULL,
    name   TEXT NOT NULL,
    info   TEXT NOT NULL,
    until  INTEGER NOT NULL,
    -- The length of the registration in microseconds.
    ttl    INTEGER NOT NULL
) STRICT, WITHOUT ROWID;

CREATE TABLE lovage_command (
    seq     INTEGER PRIMARY KEY,
    worker  BLOB NOT NULL,
    command TEXT NOT NULL
) STRICT;
CREATE INDEX lovage_command_worker ON lovage_command (worker);

-- The redacted arguments of each task, as JSON. A row outlives the workers that registered it.
CREATE TABLE lovage_hidden (
    task  TEXT PRIMARY KEY,
    marks TEXT NOT NULL
) STRICT, WITHOUT ROWID;
