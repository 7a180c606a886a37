-- What people and programs did by a dashboard. Read it, join it; write only through Lovage. `at` is in microseconds since 1970.

CREATE TABLE lovage_audit (
    id      INTEGER PRIMARY KEY,
    at      INTEGER NOT NULL,
    who     TEXT NOT NULL,
    address TEXT NOT NULL, -- empty where it is not known
    what    TEXT NOT NULL, -- such as queues/pause
    target  TEXT NOT NULL, -- a queue, a task, an entry of the schedule
    outcome TEXT NOT NULL
) STRICT;
-- Each index ends with the id by itself.
CREATE INDEX lovage_audit_at ON lovage_audit (at);
CREATE INDEX lovage_audit_who ON lovage_audit (who, at);
CREATE INDEX lovage_audit_what ON lovage_audit (what, at);
CREATE INDEX lovage_audit_both ON lovage_audit (who, what, at);
