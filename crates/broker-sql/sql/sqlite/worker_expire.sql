-- Forgets workers whose registration ended, other than ?2.
DELETE FROM lovage_worker WHERE until <= ?1 AND id <> ?2
