-- Removes up to $2 actions from before $1, the oldest first.
WITH old AS MATERIALIZED (
    SELECT ctid FROM lovage_audit WHERE at < $1::timestamptz ORDER BY at, id LIMIT $2::bigint FOR UPDATE SKIP LOCKED)
DELETE FROM lovage_audit WHERE ctid = ANY(ARRAY(SELECT ctid FROM old))
RETURNING 1
