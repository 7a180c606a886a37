-- Takes one message with options, or answers why not: `holder`, the live message; `newest`, the newest slot of its fence; or
-- both, its own id and the clock, where its slot is too far ahead of the clock.
CREATE OR REPLACE FUNCTION lovage_publish_one(
    p_queue integer, p_now bigint, p_id uuid, p_priority smallint, p_body bytea, p_after bigint, p_at bigint,
    p_key text, p_ttl bigint, p_until_start boolean, p_replace boolean, p_fence text, p_slot bigint,
    OUT holder uuid, OUT newest bigint)
LANGUAGE plpgsql AS $$
DECLARE
    v_due bigint := coalesce(p_now + p_after, p_at);
    v_replaced uuid;
    -- CLOCK_TOLERANCE; a newest slot beyond it comes from a clock that was set back.
    v_latest bigint := p_now + 10000000;
BEGIN
    INSERT INTO lovage_message (id, queue, priority, rank, seq, published_at, unique_key, until_start, body)
    VALUES (p_id, p_queue, p_priority, 19 - p_priority, 0, p_now, p_key, coalesce(p_until_start, false), p_body)
    ON CONFLICT (id, queue) DO NOTHING;
    IF NOT FOUND THEN
        holder := p_id;
        RETURN;
    END IF;
    IF p_key IS NOT NULL THEN
        -- Two who want the same key go one after another, from the first of these statements on.
        INSERT INTO lovage_unique (queue, key, id, until) VALUES (p_queue, p_key, p_id, p_now + p_ttl)
        ON CONFLICT (queue, key) DO UPDATE SET id = excluded.id, until = excluded.until
        WHERE lovage_unique.until <= p_now;
        IF NOT FOUND THEN
            SELECT id INTO holder FROM lovage_unique WHERE queue = p_queue AND key = p_key FOR UPDATE;
        END IF;
        IF holder IS NOT NULL AND p_replace AND lovage_replaceable(p_queue, holder) THEN
            v_replaced := holder;
            holder := NULL;
        END IF;
    END IF;
    IF holder IS NULL AND p_slot > v_latest THEN
        holder := p_id;
        newest := p_now;
    ELSIF holder IS NULL AND p_fence IS NOT NULL THEN
        INSERT INTO lovage_fence AS f (queue, name, slot) VALUES (p_queue, p_fence, p_slot)
        ON CONFLICT (queue, name) DO UPDATE SET slot = excluded.slot WHERE f.slot < excluded.slot OR f.slot > v_latest;
        IF NOT FOUND THEN
            SELECT slot INTO newest FROM lovage_fence WHERE queue = p_queue AND name = p_fence;
        END IF;
    END IF;
    IF holder IS NOT NULL OR newest IS NOT NULL THEN
        DELETE FROM lovage_message WHERE id = p_id AND queue = p_queue;
        DELETE FROM lovage_unique WHERE queue = p_queue AND key = p_key AND id = p_id;
        RETURN;
    END IF;
    IF v_replaced IS NOT NULL THEN
        UPDATE lovage_unique SET id = p_id, until = p_now + p_ttl WHERE queue = p_queue AND key = p_key;
        PERFORM lovage_revoke_waiting(p_queue, v_replaced, p_id);
    END IF;
    IF v_due > p_now THEN
        PERFORM lovage_delay(p_queue, p_id, v_due);
    ELSE
        PERFORM lovage_make_ready(p_queue, p_id, false);
    END IF;
END $$;
