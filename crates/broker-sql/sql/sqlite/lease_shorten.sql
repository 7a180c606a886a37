-- Ends no lease later than its own length from now: the clock may have been set back. ?1 queue, ?2 now, ?3 the usual length.
UPDATE lovage_reservation SET until = ?2 + lease WHERE queue = ?1 AND until > ?2 + ?3 AND until > ?2 + lease
