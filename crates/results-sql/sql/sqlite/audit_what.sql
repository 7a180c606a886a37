-- The next actions of one kind: as audit_all, and ?6 the kind.
FROM lovage_audit
WHERE ?5 IS NULL AND what = ?6 AND at >= ?1 AND (at, id) < (?2, ?3)
ORDER BY at DESC, id DESC LIMIT ?4
