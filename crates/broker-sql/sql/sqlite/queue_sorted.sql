-- Notes that messages are kept for slot kinds.
UPDATE lovage_queue SET sorted = 1 WHERE name = ?1 AND sorted = 0
