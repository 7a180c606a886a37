-- Registers a waiter.
INSERT INTO lovage_waiter (id, queue, handle) VALUES (?1, ?2, ?3) ON CONFLICT DO NOTHING
