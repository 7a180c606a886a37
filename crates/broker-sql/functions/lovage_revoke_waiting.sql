-- Marks a message that waits, and whose narrow row is locked, as revoked or replaced; it becomes ready at once.
CREATE OR REPLACE FUNCTION lovage_revoke_waiting(p_queue integer, p_id uuid, p_by uuid) RETURNS void
LANGUAGE plpgsql AS $$
DECLARE
    m lovage_message;
BEGIN
    UPDATE lovage_message SET revoked = true, replaced_by = coalesce(p_by, replaced_by),
        unique_key = CASE WHEN p_by IS NULL THEN unique_key END
    WHERE id = p_id AND queue = p_queue RETURNING * INTO m;
    DELETE FROM lovage_delayed WHERE queue = p_queue AND due = m.at AND seq = m.seq;
    IF FOUND THEN
        PERFORM lovage_make_ready(p_queue, p_id, false);
    END IF;
END $$;
