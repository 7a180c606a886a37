-- Sets aside what cannot be read ($1), with the reasons ($2).
WITH bad AS (SELECT * FROM unnest($1::bigint[], $2::text[]) AS t (seq, reason)),
gone AS (DELETE FROM lovage_outbox AS o USING bad WHERE o.seq = bad.seq RETURNING o.*, bad.reason)
INSERT INTO lovage_outbox_refused (seq, id, queue, options, body, written_at, reason)
SELECT seq, id, queue, options, body, written_at, reason FROM gone
