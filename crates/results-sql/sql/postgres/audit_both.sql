-- The next actions of one kind of somebody: as audit_all, $5 the name, $6 the kind.
WHERE who = $5::text AND what = $6::text AND at >= $1::timestamptz AND (at, id) < ($2::timestamptz, $3::bigint)
ORDER BY at DESC, id DESC LIMIT $4::bigint
