-- Ends a reservation whose last message is settled.
DELETE FROM lovage_reservation WHERE token = ?1 AND NOT EXISTS (SELECT 1 FROM lovage_task WHERE token = ?1 AND place = 2)
