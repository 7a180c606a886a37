-- The tables of the broker. A message is one wide row that does not move, and one narrow row in the table of the place
-- where it is; moving it is deleting there and inserting here. So a body is written once, and `lovage_ready`, which is
-- read from its head all the time, stays small.
--
-- Instants are microseconds since 1970. Whoever moves a message locks its narrow row first, then its wide one.

CREATE TABLE lovage_queue (
    id            integer GENERATED ALWAYS AS IDENTITY PRIMARY KEY,
    name          text COLLATE "C" NOT NULL UNIQUE,
    paused        boolean NOT NULL DEFAULT false,
    -- Whether `lovage_rate` has a row for it.
    limited       boolean NOT NULL DEFAULT false,
    -- Whether a message was ever returned unstarted: then reservations look at the messages kept for slot kinds, too.
    sorted        boolean NOT NULL DEFAULT false,
    -- When `maintain` last ran, and until when nothing is reclaimed after an absence.
    maintained_at bigint,
    guarded_until bigint,
    -- Which idle handle looks again at which instant.
    timer_handle  bigint,
    timer_at      bigint
) WITH (fillfactor = 20, autovacuum_vacuum_threshold = 200, autovacuum_vacuum_scale_factor = 0);

-- Positions in the order of becoming ready: at the tail, and at the head.
CREATE SEQUENCE lovage_tail;
CREATE SEQUENCE lovage_head INCREMENT -1 MAXVALUE -1 START -1;

CREATE TABLE lovage_message (
    id            uuid NOT NULL,
    queue         integer NOT NULL,
    priority      smallint NOT NULL,
    -- Its key in the table of its place: (queue, rank, seq) in ready, (queue, at, seq) in delayed and dead.
    rank          smallint NOT NULL,
    seq           bigint NOT NULL,
    at            bigint,
    run           integer NOT NULL DEFAULT 1,
    -- Hand-outs that have ended.
    delivery      integer NOT NULL DEFAULT 0,
    attempt       integer NOT NULL DEFAULT 0,
    losses        integer NOT NULL DEFAULT 0,
    refused_since bigint,
    published_at  bigint NOT NULL,
    revoked       boolean NOT NULL DEFAULT false,
    replaced_by   uuid,
    unique_key    text,
    until_start   boolean NOT NULL DEFAULT false,
    -- Each one JSON.
    notes         text[],
    body          bytea NOT NULL,
    PRIMARY KEY (id, queue)
) WITH (fillfactor = 90, autovacuum_vacuum_threshold = 1000, autovacuum_vacuum_scale_factor = 0.01);
CREATE INDEX lovage_message_revoked ON lovage_message (queue) WHERE revoked;

-- rank: 0 to 9 for suspects, 10 to 19 for the others, the highest priority first; 20 more for messages that are kept for
-- async slots, 40 more for those that are kept for blocking slots. Ascending like `seq`, so that the primary key is the
-- order of reservation within each kind and nothing is ever sorted.
CREATE TABLE lovage_ready (
    queue integer NOT NULL,
    rank  smallint NOT NULL,
    seq   bigint NOT NULL,
    id    uuid NOT NULL,
    PRIMARY KEY (queue, rank, seq)
) WITH (autovacuum_vacuum_threshold = 1000, autovacuum_vacuum_scale_factor = 0.01);

CREATE TABLE lovage_delayed (
    queue integer NOT NULL,
    due   bigint NOT NULL,
    seq   bigint NOT NULL,
    id    uuid NOT NULL,
    PRIMARY KEY (queue, due, seq)
) WITH (autovacuum_vacuum_threshold = 1000, autovacuum_vacuum_scale_factor = 0.01);

CREATE TABLE lovage_leased (
    token uuid NOT NULL,
    id    uuid NOT NULL,
    PRIMARY KEY (token, id)
) WITH (autovacuum_vacuum_threshold = 1000, autovacuum_vacuum_scale_factor = 0.01);

CREATE TABLE lovage_reservation (
    token  uuid PRIMARY KEY,
    queue  integer NOT NULL,
    handle bigint NOT NULL,
    until  bigint NOT NULL,
    -- The length of the lease in microseconds.
    lease  bigint NOT NULL
) WITH (fillfactor = 50, autovacuum_vacuum_threshold = 500, autovacuum_vacuum_scale_factor = 0.01);
CREATE INDEX lovage_reservation_until ON lovage_reservation (queue, until);

CREATE TABLE lovage_dead (
    queue  integer NOT NULL,
    since  bigint NOT NULL,
    seq    bigint NOT NULL,
    id     uuid NOT NULL,
    reason text NOT NULL,
    PRIMARY KEY (queue, since, seq)
);

CREATE TABLE lovage_unique (
    queue integer NOT NULL,
    key   text NOT NULL,
    id    uuid NOT NULL,
    until bigint,
    PRIMARY KEY (queue, key)
);

CREATE TABLE lovage_fence (
    queue integer NOT NULL,
    name  text NOT NULL,
    slot  bigint NOT NULL,
    PRIMARY KEY (queue, name)
) WITH (fillfactor = 70);

CREATE TABLE lovage_waiter (
    queue  integer NOT NULL,
    id     uuid NOT NULL,
    handle bigint NOT NULL,
    PRIMARY KEY (queue, id, handle)
);

-- Nothing is lost with it: whoever is idle looks again with its heartbeat.
CREATE UNLOGGED TABLE lovage_idle (
    queue  integer NOT NULL,
    handle bigint NOT NULL,
    since  bigint NOT NULL,
    -- The slot kinds that it wants: 1 async, 2 blocking, 3 both.
    kinds  smallint NOT NULL,
    PRIMARY KEY (queue, handle)
) WITH (autovacuum_vacuum_threshold = 200, autovacuum_vacuum_scale_factor = 0);

CREATE TABLE lovage_worker (
    id     text PRIMARY KEY,
    handle bigint NOT NULL,
    name   text NOT NULL,
    info   text NOT NULL,
    seen   bigint NOT NULL,
    until  bigint NOT NULL
) WITH (fillfactor = 50);

CREATE TABLE lovage_command (
    seq     bigint GENERATED ALWAYS AS IDENTITY PRIMARY KEY,
    worker  text NOT NULL,
    command text NOT NULL
);
CREATE INDEX lovage_command_worker ON lovage_command (worker);

-- Queues to which the transaction of an application has published: at its commit somebody is woken.
CREATE UNLOGGED TABLE lovage_wake (
    queue integer NOT NULL
);

-- Rate limits: one bucket of tokens for each queue that has a limit. A reservation from such a queue locks its bucket, so
-- that all workers together keep the limit. Other queues pay for one column of a row that is read anyway.
CREATE TABLE lovage_rate (
    queue       integer PRIMARY KEY,
    -- As it is written; one token comes back each `gap` microseconds, up to `burst`.
    rate        text NOT NULL,
    gap         bigint NOT NULL,
    burst       integer NOT NULL,
    -- When all tokens are back, and when the next one is where the last reservation left none.
    spent       bigint NOT NULL DEFAULT 0,
    empty_until bigint
) WITH (fillfactor = 20, autovacuum_vacuum_threshold = 200, autovacuum_vacuum_scale_factor = 0);

-- The redacted arguments of each task. A row outlives the workers that registered it, so that arguments stay redacted
-- while messages wait.
CREATE TABLE lovage_hidden (
    task  text PRIMARY KEY,
    -- Its hidden arguments, as JSON.
    marks text NOT NULL
);
