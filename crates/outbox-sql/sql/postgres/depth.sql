-- How much waits, since when, and how much was set aside. Times in microseconds since 1970.
SELECT count(*), (extract(epoch FROM min(written_at)) * 1000000)::bigint, (SELECT count(*) FROM lovage_outbox_refused)
FROM lovage_outbox
