-- Reservations of a queue that ended by ?2, the earliest first.
SELECT token FROM lovage_reservation WHERE queue = ?1 AND until <= ?2 ORDER BY until LIMIT ?3
