-- The next actions of one kind of somebody: as audit_all, ?5 the name, ?6 the kind. SQLite takes a shorter index for as good.
FROM lovage_audit INDEXED BY lovage_audit_both
WHERE who = ?5 AND what = ?6 AND at >= ?1 AND (at, id) < (?2, ?3)
ORDER BY at DESC, id DESC LIMIT ?4
