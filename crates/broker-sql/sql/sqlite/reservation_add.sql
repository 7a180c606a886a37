-- Keeps a reservation.
INSERT INTO lovage_reservation (token, queue, handle, until) VALUES (?1, ?2, ?3, ?4)
