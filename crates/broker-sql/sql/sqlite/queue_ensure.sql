-- Registers a queue.
INSERT INTO lovage_queue (name) VALUES (?1) ON CONFLICT (name) DO NOTHING
