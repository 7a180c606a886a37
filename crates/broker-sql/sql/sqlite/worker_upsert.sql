-- Registers a worker.
INSERT INTO lovage_worker (id, handle, name, info, until, ttl) VALUES (?1, ?2, ?3, ?4, ?5 + ?6, ?6)
ON CONFLICT (id) DO UPDATE SET handle = excluded.handle, name = excluded.name, info = excluded.info, until = excluded.until, ttl = excluded.ttl
