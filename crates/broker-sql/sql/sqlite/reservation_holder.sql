-- Whose reservation it is.
SELECT handle FROM lovage_reservation WHERE token = ?1
