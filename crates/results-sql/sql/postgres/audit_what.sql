-- The next actions of one kind: as audit_all, and $6 the kind.
WHERE $5::text IS NULL AND what = $6::text AND at >= $1::timestamptz AND (at, id) < ($2::timestamptz, $3::bigint)
ORDER BY at DESC, id DESC LIMIT $4::bigint
