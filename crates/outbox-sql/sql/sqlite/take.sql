-- The next rows: after ?1, at most ?2 of them and ?3 bytes, the first whatever its size.
SELECT seq, id, queue, options, body,
    CAST(unixepoch('subsec') * 1000000 AS INTEGER) - written_at AS age
FROM (SELECT *, sum(length(body)) OVER (ORDER BY seq) - length(body) AS bytes_before
    FROM (SELECT * FROM lovage_outbox WHERE seq > ?1 ORDER BY seq LIMIT ?2))
WHERE bytes_before < ?3 ORDER BY seq
