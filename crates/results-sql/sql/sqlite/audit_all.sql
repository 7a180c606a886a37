-- The next actions: ?1 since, ?2 and ?3 where the last page ended, ?4 how many, ?5 and ?6 null.
FROM lovage_audit
WHERE ?5 IS NULL AND ?6 IS NULL AND at >= ?1 AND (at, id) < (?2, ?3)
ORDER BY at DESC, id DESC LIMIT ?4
