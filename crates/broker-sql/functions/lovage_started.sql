-- Ends the claims of messages that are started now.
CREATE OR REPLACE FUNCTION lovage_started(p_queue text, p_ids uuid[]) RETURNS void
LANGUAGE plpgsql SET search_path FROM CURRENT AS $$
DECLARE
    v_queue integer := lovage_queue_id(p_queue);
BEGIN
    DELETE FROM lovage_unique AS u USING lovage_message AS m
    WHERE m.id = ANY (p_ids) AND m.queue = v_queue AND u.queue = v_queue AND u.key = m.unique_key AND u.id = m.id;
    UPDATE lovage_message SET unique_key = NULL WHERE id = ANY (p_ids) AND queue = v_queue;
END $$;
