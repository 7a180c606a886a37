-- Takes the next rows for this transaction: after $1, at most $2 of them and $3 bytes, the first whatever its size. What
-- another relay has is passed over.
WITH taken AS MATERIALIZED (
    SELECT seq, id, queue, options, body, written_at FROM lovage_outbox
    WHERE seq > $1 ORDER BY seq LIMIT $2 FOR UPDATE SKIP LOCKED),
sized AS (
    SELECT taken.*, sum(octet_length(body)) OVER (ORDER BY seq) - octet_length(body) AS bytes_before FROM taken)
SELECT seq, id, queue, options, body,
    (extract(epoch FROM clock_timestamp() - written_at) * 1000000)::bigint AS age
FROM sized WHERE bytes_before < $3 ORDER BY seq
