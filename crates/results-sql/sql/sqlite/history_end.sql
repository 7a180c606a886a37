-- Removes the attempts of rows whose time to live has ended by ?1: ?2 JSON list of ids in hexadecimal.
DELETE FROM lovage_attempt WHERE id IN (
    SELECT id FROM lovage_result WHERE id IN (SELECT unhex(value) FROM json_each(?2)) AND until <= ?1)
