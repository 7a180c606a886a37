-- The newest rows (?1) that were set aside.
SELECT seq, id, queue, reason, refused_at FROM lovage_outbox_refused ORDER BY seq DESC LIMIT ?1
