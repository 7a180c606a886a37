-- Claims a unique key.
INSERT INTO lovage_unique (queue, key, id, until) VALUES (?1, ?2, ?3, ?4)
ON CONFLICT (queue, key) DO UPDATE SET id = excluded.id, until = excluded.until
