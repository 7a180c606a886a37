-- Keeps what cannot be read (?1) with the reason (?2).
INSERT INTO lovage_outbox_refused (seq, id, queue, options, body, written_at, reason)
SELECT seq, id, queue, options, body, written_at, ?2 FROM lovage_outbox WHERE seq = ?1
