-- Whether a message (?1) waits here. There is no index: an outbox is nearly empty all the time.
SELECT EXISTS (SELECT 1 FROM lovage_outbox WHERE id = ?1)
