-- Removes up to ?2 firings that were decided before ?1.
DELETE FROM lovage_firing WHERE (name, slot, fate) IN (
    SELECT name, slot, fate FROM lovage_firing WHERE at < ?1 ORDER BY at LIMIT ?2)
