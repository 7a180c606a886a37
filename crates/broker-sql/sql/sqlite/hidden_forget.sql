-- Forgets what these tasks hide. ?1 a JSON list of names
DELETE FROM lovage_hidden WHERE task IN (SELECT value FROM json_each(?1))
