-- Makes a delayed message ready now; answers whether there was one.
CREATE OR REPLACE FUNCTION lovage_promote(p_id uuid, p_queue text, p_now bigint) RETURNS boolean
LANGUAGE plpgsql SET search_path FROM CURRENT AS $$
DECLARE
    m lovage_message;
BEGIN
    SELECT w.* INTO m FROM lovage_message AS w JOIN lovage_queue AS q ON q.id = w.queue
    JOIN lovage_delayed AS d ON d.queue = w.queue AND d.due = w.at AND d.seq = w.seq
    WHERE w.id = p_id AND (p_queue IS NULL OR q.name = p_queue) ORDER BY q.name LIMIT 1;
    IF NOT FOUND THEN
        RETURN false;
    END IF;
    PERFORM lovage_announce(m.queue);
    DELETE FROM lovage_delayed WHERE queue = m.queue AND due = m.at AND seq = m.seq;
    IF NOT FOUND THEN
        RETURN false;
    END IF;
    PERFORM lovage_make_ready(m.queue, m.id, false);
    PERFORM lovage_nudge(m.queue, lovage_now(p_now), false);
    RETURN true;
END $$;
