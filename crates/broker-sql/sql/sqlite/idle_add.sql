-- Registers an idle handle.
INSERT INTO lovage_idle (queue, handle, seq) VALUES (?1, ?2, (SELECT coalesce(max(seq), 0) + 1 FROM lovage_idle)) ON CONFLICT (queue, handle) DO NOTHING
