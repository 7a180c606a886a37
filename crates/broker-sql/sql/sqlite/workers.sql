-- Registered workers, by name.
SELECT info FROM lovage_worker WHERE until > ?1 ORDER BY name, id
