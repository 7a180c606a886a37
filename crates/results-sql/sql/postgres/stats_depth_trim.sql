-- Removes up to $2 rows that tell of nothing after $1.
WITH old AS MATERIALIZED (
    SELECT t.ctid FROM (VALUES (1::smallint), (10), (60)) AS s (span)
    CROSS JOIN LATERAL (
        SELECT ctid FROM lovage_stat_depth
        WHERE span = s.span AND since <= $1::timestamptz - s.span * interval '1 minute'
        ORDER BY since LIMIT $2::bigint FOR UPDATE SKIP LOCKED) AS t
    LIMIT $2::bigint)
DELETE FROM lovage_stat_depth WHERE ctid = ANY(ARRAY(SELECT ctid FROM old))
RETURNING 1
