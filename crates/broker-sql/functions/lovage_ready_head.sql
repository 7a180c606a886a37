-- The first ready message of a list (1 to 3, see `lovage_take_sorted`) from a rank on; `p_suspects` says whether it may be a
-- suspect.
CREATE OR REPLACE FUNCTION lovage_ready_head(p_queue integer, p_list integer, p_from integer, p_suspects boolean,
    OUT rank integer, OUT seq bigint)
LANGUAGE plpgsql AS $$
DECLARE
    v_from integer := greatest(p_from, 20 * p_list - CASE WHEN p_suspects THEN 20 ELSE 10 END);
BEGIN
    SELECT r.rank, r.seq INTO rank, seq FROM lovage_ready AS r
    WHERE r.queue = p_queue AND r.rank >= v_from AND r.rank < 20 * p_list ORDER BY r.queue, r.rank, r.seq LIMIT 1;
END $$;
