-- $1 worker
WITH gone AS (DELETE FROM lovage_worker WHERE id = $1)
DELETE FROM lovage_command WHERE worker = $1
