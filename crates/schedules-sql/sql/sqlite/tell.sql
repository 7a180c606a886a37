-- Adds firings, ?1 as a JSON list. Answers those that were not known, by their place in it.
INSERT INTO lovage_firing (name, slot, fate, last_slot, at, task_id, note)
SELECT value ->> '$.name', value ->> '$.slot', value ->> '$.fate', value ->> '$.last_slot', value ->> '$.at',
    unhex(value ->> '$.task'), value ->> '$.note'
FROM json_each(?1) WHERE true
ON CONFLICT DO NOTHING
RETURNING name, at, task_id, fate
