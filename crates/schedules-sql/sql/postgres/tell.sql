-- Adds firings: $1 to $7 the columns.
INSERT INTO lovage_firing (name, slot, fate, last_slot, at, task_id, note)
SELECT * FROM unnest($1::text[], $2::timestamptz[], $3::text[], $4::timestamptz[], $5::timestamptz[], $6::uuid[], $7::text[])
ON CONFLICT DO NOTHING
