-- Registers an idle handle that wants the slot kinds ?3.
INSERT INTO lovage_idle (queue, handle, seq, kinds) VALUES (?1, ?2, (SELECT coalesce(max(seq), 0) + 1 FROM lovage_idle), ?3) ON CONFLICT (queue, handle) DO UPDATE SET kinds = excluded.kinds
