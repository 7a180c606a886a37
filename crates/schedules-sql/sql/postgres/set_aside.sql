-- Disables the row $1 as it was at revision $2, because it cannot be read, for the reason $3.
UPDATE lovage_schedule
SET enabled = false, next_run_at = NULL, disabled_by = 'bad', last_error = $3::text, revision = revision + 1
WHERE name = $1::text AND revision = $2::bigint
