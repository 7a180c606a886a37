-- Writes what beats did, ?1 as a JSON list. Answers the names of the entries that took it.
UPDATE lovage_schedule SET
    rewound_at = CASE WHEN i.value ->> '$.rewinds' THEN i.value ->> '$.done_until' ELSE rewound_at END,
    rewound_from = CASE WHEN i.value ->> '$.rewinds' THEN done_until ELSE rewound_from END,
    done_until = i.value ->> '$.done_until', next_run_at = i.value ->> '$.next_run_at', last_error = i.value ->> '$.error',
    enabled = enabled AND NOT i.value ->> '$.ends',
    disabled_by = CASE WHEN i.value ->> '$.ends' THEN 'done' ELSE disabled_by END,
    revision = revision + (i.value ->> '$.ends')
FROM json_each(?1) AS i
WHERE name = i.value ->> '$.name' AND revision = i.value ->> '$.revision' AND done_until = i.value ->> '$.seen'
RETURNING name
