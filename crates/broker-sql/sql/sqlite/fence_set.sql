-- Notes the newest slot of a name.
INSERT INTO lovage_fence (queue, name, slot) VALUES (?1, ?2, ?3) ON CONFLICT (queue, name) DO UPDATE SET slot = excluded.slot
