-- What tasks hide, as JSON: kept when the workers that said it are gone.

CREATE TABLE lovage_hidden (
    task  TEXT PRIMARY KEY,
    marks TEXT NOT NULL
) STRICT, WITHOUT ROWID;
