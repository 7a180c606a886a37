-- The next actions of somebody: as audit_all, and ?5 the name.
FROM lovage_audit
WHERE who = ?5 AND ?6 IS NULL AND at >= ?1 AND (at, id) < (?2, ?3)
ORDER BY at DESC, id DESC LIMIT ?4
