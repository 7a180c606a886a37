-- Stores a batch in the order of its ids: $1 now (null: the server's clock), $2 to $33 the columns, $34 how many attempts are kept. Answers the ids that were stored.
--
-- `told` is null for what is no ended attempt. It is false where the row itself tells of the attempt for as long as it stands,
-- true where lovage_attempt must. A row that is superseded tells nothing. What lovage_attempt is missing when "run again" replaces
-- a row is `saved` there. The columns are sorted by `id`; `old` is empty unless a task has a row already.
WITH clock AS MATERIALIZED (SELECT coalesce($1::timestamptz, clock_timestamp()) AS now),
input AS MATERIALIZED (
    SELECT clock.now, i.* FROM clock, unnest(
        $2::uuid[], $3::bigint[], $4::bigint[], $5::bigint[], $6::timestamptz[], $7::timestamptz[], $8::timestamptz[],
        $9::interval[], $10::interval[], $11::timestamptz[], $12::bigint[], $13::uuid[], $14::uuid[], $15::uuid[], $16::smallint[],
        $17::boolean[], $18::text[], $19::text[], $20::text[], $21::text[], $22::text[], $23::text[], $24::text[], $25::text[],
        $26::text[], $27::text[], $28::text[], $29::text[], $30::text[], $31::text[], $32::boolean[], $33::text[]
    ) AS i (id, run, delivery, attempt, enqueued_at, started_at, finished_at,
        keep_for, run_time, slot, group_index, root, parent, group_id, priority,
        terminal, state, task, queue, worker, arguments, result, marker, error_kind,
        error, error_chain, backtrace, schedule, headers, document, told, told_error)),
old AS MATERIALIZED (SELECT id, run, until FROM lovage_result WHERE id = ANY($2)),
ended AS (
    DELETE FROM lovage_attempt WHERE id = ANY(ARRAY(SELECT old.id FROM old, clock WHERE old.until <= clock.now)) RETURNING id),
saved AS (
    INSERT INTO lovage_attempt
    SELECT told.* FROM old JOIN input USING (id)
        CROSS JOIN LATERAL (SELECT * FROM lovage_history AS h WHERE h.id = old.id OFFSET 0) AS told -- one by one, by its id
    WHERE old.until > input.now AND input.run > old.run
    ON CONFLICT DO NOTHING),
stored AS (
    INSERT INTO lovage_result AS r (id, run, delivery, attempt, enqueued_at, started_at, finished_at, recorded_at, until,
        run_time, slot, group_index, root, parent, group_id, priority, terminal, state, task, queue, worker, arguments,
        result, marker, error_kind, error, error_chain, backtrace, schedule, headers, document)
    SELECT id, run, delivery, attempt, enqueued_at, started_at, finished_at, now, now + keep_for,
        run_time, slot, group_index, root, parent, group_id, priority, terminal, state, task, queue, worker, arguments,
        result, marker, error_kind, error, error_chain::jsonb, backtrace, schedule, headers::jsonb, document
    FROM input
    ON CONFLICT (id) DO UPDATE SET run = excluded.run, delivery = excluded.delivery, attempt = excluded.attempt,
        enqueued_at = excluded.enqueued_at, started_at = excluded.started_at, finished_at = excluded.finished_at,
        recorded_at = excluded.recorded_at, until = excluded.until, run_time = excluded.run_time, slot = excluded.slot,
        group_index = excluded.group_index, root = excluded.root, parent = excluded.parent, group_id = excluded.group_id,
        priority = excluded.priority, terminal = excluded.terminal, state = excluded.state, task = excluded.task,
        queue = excluded.queue, worker = excluded.worker, arguments = excluded.arguments, result = excluded.result,
        marker = excluded.marker, error_kind = excluded.error_kind, error = excluded.error, error_chain = excluded.error_chain,
        backtrace = excluded.backtrace, schedule = excluded.schedule, headers = excluded.headers, document = excluded.document
    WHERE r.until <= excluded.recorded_at
       OR excluded.run > r.run
       OR (NOT r.terminal
           AND ((excluded.run, excluded.delivery, excluded.attempt) > (r.run, r.delivery, r.attempt)
                OR ((excluded.run, excluded.delivery, excluded.attempt) = (r.run, r.delivery, r.attempt)
                    AND r.state = 'started' AND excluded.state <> 'started')))
    RETURNING id),
kept AS (
    INSERT INTO lovage_attempt (id, run, delivery, attempt, started_at, finished_at, state, worker, error)
    SELECT id, run, delivery, attempt, started_at, finished_at, state, worker, told_error
    FROM input
    WHERE (told OR (NOT told AND id NOT IN (SELECT id FROM stored)))
      AND (SELECT count(*) FROM ended) >= 0 -- only after they are gone
    ON CONFLICT DO NOTHING),
-- Sees the table without `kept`: what is one too many now goes next time, and is not answered until then.
trimmed AS (
    DELETE FROM lovage_attempt WHERE ctid = ANY(ARRAY(
        SELECT ctid FROM (
            SELECT ctid, row_number() OVER (PARTITION BY id ORDER BY run DESC, delivery DESC, attempt DESC) AS place
            FROM lovage_attempt
            WHERE id = ANY(ARRAY(SELECT id FROM input WHERE told AND (run > 1 OR delivery > $34::bigint)))) AS placed
        WHERE place > $34)))
SELECT id FROM stored
