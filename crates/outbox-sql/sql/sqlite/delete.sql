-- Removes what is published (?1, a JSON list) or was set aside.
DELETE FROM lovage_outbox WHERE seq IN (SELECT value FROM json_each(?1))
