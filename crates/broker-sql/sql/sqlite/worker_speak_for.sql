-- Renews the registration of a worker that is registered, and what is said of it.
UPDATE lovage_worker SET info = ?3, until = ?2 + ?4, ttl = ?4 WHERE id = ?1 AND until > ?2
