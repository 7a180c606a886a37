-- Pauses or resumes a queue, and hints an idle handle when it is resumed.
CREATE OR REPLACE FUNCTION lovage_pause(p_queue text, p_paused boolean) RETURNS void
LANGUAGE plpgsql SET search_path FROM CURRENT AS $$
DECLARE
    v_queue integer := lovage_queue_id(p_queue);
BEGIN
    PERFORM lovage_announce(v_queue);
    UPDATE lovage_queue SET paused = p_paused WHERE id = v_queue;
    PERFORM lovage_nudge(v_queue, lovage_now(NULL), true);
END $$;
