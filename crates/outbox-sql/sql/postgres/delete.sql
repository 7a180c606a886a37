-- Removes what is published.
DELETE FROM lovage_outbox WHERE seq = ANY ($1)
