-- Takes messages of a queue some of which are kept for slot kinds: at most `p_max`, of each kind at most `p_wants`, one suspect
-- at most. Within a priority kept messages come before those that no worker has sorted. It walks over the lists by their
-- heads, so that it locks nothing that it does not take. Answers null when nothing was found.
CREATE OR REPLACE FUNCTION lovage_take_sorted(
    p_queue integer, p_token uuid, p_max integer, p_wants integer[], p_suspects boolean)
RETURNS uuid[]
LANGUAGE plpgsql AS $$
DECLARE
    -- By list: 1 not sorted, 2 kept for async slots, 3 for blocking slots. How many may be taken of it, and its head.
    v_left integer[] := ARRAY[p_max] || p_wants;
    v_ranks integer[] := '{null,null,null}';
    v_seqs bigint[] := '{null,null,null}';
    v_suspects boolean := p_suspects;
    v_list integer;
    v_rank integer;
    v_room integer := p_max;
    v_taken uuid[];
    v_ids uuid[];
    v_head record;
BEGIN
    FOR i IN 1..3 LOOP
        v_head := lovage_ready_head(p_queue, i, 0, v_suspects);
        v_ranks[i] := v_head.rank;
        v_seqs[i] := v_head.seq;
    END LOOP;
    WHILE v_room > 0 LOOP
        SELECT n, v_ranks[n] INTO v_list, v_rank FROM generate_series(1, 3) AS n
        WHERE v_left[n] > 0 AND v_ranks[n] IS NOT NULL ORDER BY v_ranks[n] % 20, n = 1, v_seqs[n] LIMIT 1;
        EXIT WHEN NOT FOUND;
        WITH first AS MATERIALIZED (
            SELECT r.queue, r.rank, r.seq FROM lovage_ready AS r WHERE r.queue = p_queue AND r.rank = v_rank
            ORDER BY r.queue, r.rank, r.seq
            LIMIT least(v_room, v_left[v_list], CASE WHEN v_rank % 20 < 10 THEN 1 END) FOR UPDATE SKIP LOCKED),
        taken AS (
            DELETE FROM lovage_ready AS r USING first AS f
            WHERE (r.queue, r.rank, r.seq) = (f.queue, f.rank, f.seq) RETURNING r.seq, r.id),
        kept AS (INSERT INTO lovage_leased (token, id) SELECT p_token, t.id FROM taken AS t)
        SELECT array_agg(t.id ORDER BY t.seq) INTO v_taken FROM taken AS t;
        v_ids := v_ids || v_taken;
        v_room := v_room - coalesce(cardinality(v_taken), 0);
        v_left[v_list] := v_left[v_list] - coalesce(cardinality(v_taken), 0);
        v_suspects := v_suspects AND (v_rank % 20 >= 10 OR v_taken IS NULL);
        -- The next rank of this list; after a suspect the others without suspects.
        FOR i IN 1..3 LOOP
            IF i = v_list OR NOT v_suspects AND v_ranks[i] % 20 < 10 THEN
                v_head := lovage_ready_head(p_queue, i, CASE WHEN i = v_list THEN v_rank + 1 ELSE 0 END, v_suspects);
                v_ranks[i] := v_head.rank;
                v_seqs[i] := v_head.seq;
            END IF;
        END LOOP;
    END LOOP;
    RETURN v_ids;
END $$;
