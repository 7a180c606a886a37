-- Ends no registration later than its own length from now: the clock may have been set back.
UPDATE lovage_worker SET until = ?1 + ttl WHERE until > ?1 + ttl
