-- Inserts a batch: ?1 queue, ?2 now, ?3 position before the first, ?4 JSON rows of [id, priority, due or null, unique key or null, body, 1 when that key is held until the start only], ids and bodies in hexadecimal. Answers the ids that were not live.
INSERT INTO lovage_task (id, queue, place, priority, position, at, published_at, unique_key, body, until_start)
SELECT unhex(e.value ->> 0), ?1, (e.value ->> 2) IS NOT NULL, e.value ->> 1, ?3 + e.key + 1, e.value ->> 2, ?2, e.value ->> 3, unhex(e.value ->> 4), coalesce(e.value ->> 5, 0)
FROM json_each(?4) AS e
WHERE true
ON CONFLICT (id, queue) DO NOTHING
RETURNING id
