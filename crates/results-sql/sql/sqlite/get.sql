-- Rows: ?1 now, ?2 JSON list of ids in hexadecimal.
SELECT id, record FROM lovage_result WHERE id IN (SELECT unhex(value) FROM json_each(?2)) AND until > ?1
