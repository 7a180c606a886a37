-- Adds firings, ?1 as a JSON list. Answers those that were not known. Where slots were passed over again, after a clock was
-- set back, the row stands for all of them.
INSERT INTO lovage_firing (name, slot, fate, last_slot, at, task_id, note)
SELECT value ->> '$.name', value ->> '$.slot', value ->> '$.fate', value ->> '$.last_slot', value ->> '$.at',
    unhex(value ->> '$.task'), value ->> '$.note'
FROM json_each(?1) WHERE true
ON CONFLICT (name, slot, fate) DO UPDATE SET last_slot = excluded.last_slot, at = excluded.at
    WHERE lovage_firing.fate NOT IN ('fired', 'manual') AND excluded.last_slot > lovage_firing.last_slot
RETURNING name, at, task_id, fate
