-- Writes what beats did. $1 to $8 columns of advances, $9 to $15 columns of firings. Answers the names of those that took effect.
--
-- Rows are locked in the order of their names, so that beats do not wait for each other in a circle.
WITH input AS MATERIALIZED (
    SELECT * FROM unnest($1::text[], $2::bigint[], $3::timestamptz[], $4::timestamptz[], $5::timestamptz[], $6::boolean[],
        $7::text[], $8::boolean[]) AS i (name, revision, seen, done_until, next_run_at, ends, error, rewinds)),
locked AS MATERIALIZED (
    SELECT name, revision, done_until FROM lovage_schedule WHERE name = ANY($1) ORDER BY name FOR UPDATE),
won AS MATERIALIZED (
    SELECT i.* FROM input AS i JOIN locked AS l ON (l.name, l.revision, l.done_until) = (i.name, i.revision, i.seen)),
told AS (
    INSERT INTO lovage_firing (name, slot, fate, last_slot, at, task_id, note)
    SELECT * FROM unnest($9::text[], $10::timestamptz[], $11::text[], $12::timestamptz[], $13::timestamptz[], $14::uuid[],
        $15::text[]) AS f (name, slot, fate, last_slot, at, task_id, note)
    -- What was published is told in either case: it did happen.
    WHERE fate IN ('fired', 'manual') OR name IN (SELECT name FROM won)
    -- Where slots are passed over again, after a clock was set back, the row stands for all of them.
    ON CONFLICT (name, slot, fate) DO UPDATE SET last_slot = excluded.last_slot, at = excluded.at
        WHERE lovage_firing.fate NOT IN ('fired', 'manual') AND excluded.last_slot > lovage_firing.last_slot
    RETURNING name, fate, at, task_id),
runs AS MATERIALIZED (
    SELECT name, count(*) AS runs, max(at) AS at, (array_agg(task_id ORDER BY at DESC))[1] AS task_id
    FROM told WHERE fate IN ('fired', 'manual') GROUP BY name),
news AS MATERIALIZED (
    SELECT l.name, won.name IS NOT NULL AS won, won.done_until, won.next_run_at, won.ends, won.error, won.rewinds,
        coalesce(runs.runs, 0) AS runs, runs.at, runs.task_id
    FROM locked AS l LEFT JOIN won USING (name) LEFT JOIN runs USING (name)
    WHERE won.name IS NOT NULL OR runs.name IS NOT NULL),
written AS (
    UPDATE lovage_schedule AS s SET
        rewound_at = CASE WHEN n.rewinds THEN n.done_until ELSE s.rewound_at END,
        rewound_from = CASE WHEN n.rewinds THEN s.done_until ELSE s.rewound_from END,
        done_until = CASE WHEN n.won THEN n.done_until ELSE s.done_until END,
        next_run_at = CASE WHEN n.won THEN n.next_run_at ELSE s.next_run_at END,
        last_error = CASE WHEN n.won THEN n.error ELSE s.last_error END,
        enabled = s.enabled AND NOT (n.won AND n.ends),
        disabled_by = CASE WHEN n.won AND n.ends THEN 'done' ELSE s.disabled_by END,
        revision = s.revision + CASE WHEN n.won AND n.ends THEN 1 ELSE 0 END,
        total_run_count = s.total_run_count + n.runs,
        last_task_id = CASE WHEN n.at >= coalesce(s.last_run_at, n.at) THEN n.task_id ELSE s.last_task_id END,
        last_run_at = greatest(s.last_run_at, n.at)
    FROM news AS n WHERE s.name = ANY(ARRAY(SELECT name FROM news)) AND s.name = n.name)
SELECT name FROM won
