-- Whether anybody waits for anything.
SELECT EXISTS (SELECT 1 FROM lovage_waiter)
