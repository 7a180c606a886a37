-- The next actions of somebody: as audit_all, and $5 the name.
WHERE who = $5::text AND $6::text IS NULL AND at >= $1::timestamptz AND (at, id) < ($2::timestamptz, $3::bigint)
ORDER BY at DESC, id DESC LIMIT $4::bigint
