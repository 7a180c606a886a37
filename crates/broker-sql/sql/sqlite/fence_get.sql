-- The newest slot of a name.
SELECT slot FROM lovage_fence WHERE queue = ?1 AND name = ?2
