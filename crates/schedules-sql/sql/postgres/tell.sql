-- Adds firings: $1 to $7 the columns.
INSERT INTO lovage_firing (name, slot, fate, last_slot, at, task_id, note)
SELECT * FROM unnest($1::text[], $2::timestamptz[], $3::text[], $4::timestamptz[], $5::timestamptz[], $6::uuid[], $7::text[])
ON CONFLICT (name, slot, fate) DO UPDATE SET last_slot = excluded.last_slot, at = excluded.at
    WHERE lovage_firing.fate NOT IN ('fired', 'manual') AND excluded.last_slot > lovage_firing.last_slot
