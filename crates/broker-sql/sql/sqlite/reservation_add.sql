-- Keeps a reservation.
INSERT INTO lovage_reservation (token, queue, handle, until, lease) VALUES (?1, ?2, ?3, ?4 + ?5, ?5)
