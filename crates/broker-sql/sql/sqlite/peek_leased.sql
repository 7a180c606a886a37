-- Leased messages, after (?2, ?3, ?4).
SELECT seq, id, queue, place, priority, position, at, run, delivery, attempt, losses, published_at, revoked, reason, notes, replaced_by, unique_key, body,
    (SELECT until FROM lovage_reservation AS r WHERE r.token = lovage_task.token) AS until, 0 AS k1, 0 AS k2, seq AS k3
FROM lovage_task WHERE queue = ?1 AND place = 2 AND (0, 0, seq) > (?2, ?3, ?4) ORDER BY k3 LIMIT ?5
