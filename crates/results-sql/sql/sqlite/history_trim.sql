-- Keeps the newest ?2 attempts of each task: ?1 JSON list of ids in hexadecimal.
DELETE FROM lovage_attempt WHERE (id, run, delivery, attempt) IN (
    SELECT id, run, delivery, attempt FROM (
        SELECT id, run, delivery, attempt, row_number() OVER (PARTITION BY id ORDER BY run DESC, delivery DESC, attempt DESC) AS place
        FROM lovage_attempt WHERE id IN (SELECT unhex(value) FROM json_each(?1)))
    WHERE place > ?2)
