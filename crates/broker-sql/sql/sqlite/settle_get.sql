-- A message of a reservation.
SELECT seq, attempt, revoked, losses, notes, unique_key, refused_since FROM lovage_task WHERE place = 2 AND token = ?1 AND id = ?2
