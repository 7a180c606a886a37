-- What people and programs did by a dashboard. Read it, join it; write only through Lovage.

CREATE TABLE lovage_audit (
    id      bigint GENERATED ALWAYS AS IDENTITY PRIMARY KEY,
    at      timestamptz NOT NULL,
    who     text COLLATE "C" NOT NULL,
    address text COLLATE "C" NOT NULL, -- empty where it is not known
    what    text COLLATE "C" NOT NULL, -- such as queues/pause
    target  text COLLATE "C" NOT NULL, -- a queue, a task, an entry of the schedule
    outcome text COLLATE "C" NOT NULL
);
CREATE INDEX lovage_audit_at ON lovage_audit (at, id);
CREATE INDEX lovage_audit_who ON lovage_audit (who, at, id);
CREATE INDEX lovage_audit_what ON lovage_audit (what, at, id);
CREATE INDEX lovage_audit_both ON lovage_audit (who, what, at, id);
