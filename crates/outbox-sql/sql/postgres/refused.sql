-- The newest rows ($1) that were set aside.
SELECT seq, id, queue, reason, (extract(epoch FROM refused_at) * 1000000)::bigint
FROM lovage_outbox_refused ORDER BY seq DESC LIMIT $1
