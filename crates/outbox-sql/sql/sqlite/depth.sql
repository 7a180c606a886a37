-- How much waits, since when, and how much was set aside. Times in microseconds since 1970.
SELECT count(*), min(written_at), (SELECT count(*) FROM lovage_outbox_refused) FROM lovage_outbox
