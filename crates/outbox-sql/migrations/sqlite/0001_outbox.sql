-- The outbox: messages that an application wrote in transactions of its own, until a relay has published them.

CREATE TABLE lovage_outbox (
    seq        INTEGER PRIMARY KEY AUTOINCREMENT,
    -- The task's, 16 bytes.
    id         BLOB NOT NULL,
    queue      TEXT NOT NULL,
    -- JSON: priority, delay, unique key.
    options    TEXT NOT NULL,
    body       BLOB NOT NULL,
    -- Microseconds since 1970.
    written_at INTEGER NOT NULL DEFAULT (CAST(unixepoch('subsec') * 1000000 AS INTEGER))
) STRICT;

-- Rows that no relay can read, with the reason. Put back into `lovage_outbox` what was repaired.
CREATE TABLE lovage_outbox_refused (
    seq        INTEGER PRIMARY KEY,
    id         BLOB NOT NULL,
    queue      TEXT NOT NULL,
    options    TEXT NOT NULL,
    body       BLOB NOT NULL,
    written_at INTEGER NOT NULL,
    reason     TEXT NOT NULL,
    refused_at INTEGER NOT NULL DEFAULT (CAST(unixepoch('subsec') * 1000000 AS INTEGER))
) STRICT;
