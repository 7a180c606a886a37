-- Writes a message in the application's transaction.
INSERT INTO lovage_outbox (id, queue, options, body) VALUES (?1, ?2, ?3, ?4)
