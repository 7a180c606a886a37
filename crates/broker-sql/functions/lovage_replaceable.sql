-- Whether a message waits, and keeps it from being handed out until the end of the transaction if it does.
CREATE OR REPLACE FUNCTION lovage_replaceable(p_queue integer, p_id uuid) RETURNS boolean
LANGUAGE plpgsql AS $$
DECLARE
    m lovage_message;
BEGIN
    SELECT * INTO m FROM lovage_message WHERE id = p_id AND queue = p_queue;
    PERFORM FROM lovage_ready WHERE queue = p_queue AND rank = m.rank AND seq = m.seq FOR UPDATE;
    IF FOUND THEN
        RETURN true;
    END IF;
    PERFORM FROM lovage_delayed WHERE queue = p_queue AND due = m.at AND seq = m.seq FOR UPDATE;
    RETURN FOUND;
END $$;
