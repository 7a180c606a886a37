-- Ready messages in the order of reservation, after (?2, ?3, ?4).
SELECT seq, id, queue, place, priority, position, at, run, delivery, attempt, losses, published_at, revoked, reason, notes, replaced_by, unique_key, body,
    (SELECT until FROM lovage_reservation AS r WHERE r.token = lovage_task.token) AS until, losses < 2 AS k1, (kind = 0) - 2 * priority AS k2, position AS k3
FROM lovage_task WHERE queue = ?1 AND place = 0 AND (losses < 2, (kind = 0) - 2 * priority, position) > (?2, ?3, ?4) ORDER BY k1, k2, k3 LIMIT ?5
