-- Finished tasks as a month of production leaves them, oldest first: $1 the first number, $2 the last, $3 of how many. No result is ever stored twice.
--
-- 30 days up to now; 40 tasks, of which a few are most; 8 queues; 50 workers; 94 of 100 succeed, 4 fail, 2 are revoked, expired or
-- discarded; 120 kinds of failures with numbers in them, and `the reactor is on fire` in one of a million tasks. Everything
-- follows from a task's number, so that a search can be checked. 500,000 rows per statement keep each transaction short.
WITH task AS (
    SELECT n, h, (h % 10007) / 10007.0 AS r, now() - interval '30 days' * (1 - n::float8 / $3::bigint) AS finished_at,
           CASE WHEN n % 1000000 = 0 THEN 'failure' WHEN h % 100 < 94 THEN 'success' WHEN h % 100 < 98 THEN 'failure'
                ELSE (ARRAY['revoked', 'expired', 'discarded'])[1 + (h % 3)::int] END AS state
    FROM (SELECT n, abs(hashint8(n)::bigint) AS h FROM generate_series($1::bigint, $2::bigint) AS n) AS numbers)
INSERT INTO lovage_result (id, run, delivery, attempt, enqueued_at, started_at, finished_at, recorded_at, until, run_time,
    priority, terminal, state, task, queue, worker, arguments, result, error_kind, error, error_chain, backtrace)
SELECT (lpad(to_hex(n), 12, '0') || '70008000000000000000')::uuid, 1, 1, CASE WHEN state = 'failure' THEN 1 ELSE 0 END,
       finished_at - interval '2 s' * r, finished_at - interval '1 s' * r, finished_at, finished_at, finished_at + interval '90 days',
       interval '1 s' * r, 0, true, state,
       (ARRAY['shop', 'mail', 'media', 'billing'])[1 + (h % 4)::int] || '.tasks.' ||
           (ARRAY['sync', 'send', 'resize', 'charge', 'index', 'export', 'notify', 'clean', 'report', 'fetch'])[1 + floor(10 * r * r)::int],
       (ARRAY['default', 'default', 'default', 'mail', 'media', 'billing', 'reports', 'slow'])[1 + (h / 7 % 8)::int],
       'worker-' || (h / 11) % 50 || '@host-' || (h / 11) % 10,
       '[' || n % 100000 || ',"customer-' || (h / 13) % 5000 || '"]',
       CASE WHEN state = 'success' THEN '{"sent":' || h % 1000 || '}' END,
       CASE WHEN state = 'failure' THEN (ARRAY['io', 'timeout', 'panic', 'http'])[1 + (h / 100 % 4)::int] END,
       CASE WHEN state <> 'failure' THEN NULL
            WHEN n % 1000000 = 0 THEN 'the reactor is on fire, says sensor ' || n
            ELSE format((ARRAY['connection to db-%s.internal timed out after 30s', 'account %s is closed', 'no space left on /var/data/%s',
                        'HTTP 503 from https://api.example.com/v2/orders/%s'])[1 + (h / 100 % 4)::int], h % 30) END,
       CASE WHEN state = 'failure' THEN jsonb_build_array('while handling order ' || h % 1000000, 'os error ' || h % 30) END,
       CASE WHEN state = 'failure' THEN repeat('   at app::tasks::run (src/tasks.rs:120)' || chr(10), 20) END
FROM task
