-- The number of a queue, which is registered by its first use.
CREATE OR REPLACE FUNCTION lovage_queue_id(p_name text) RETURNS integer LANGUAGE plpgsql AS $$
DECLARE
    v_id integer;
BEGIN
    SELECT id INTO v_id FROM lovage_queue WHERE name = p_name;
    IF v_id IS NULL THEN
        INSERT INTO lovage_queue (name) VALUES (p_name) ON CONFLICT (name) DO NOTHING;
        SELECT id INTO v_id FROM lovage_queue WHERE name = p_name;
    END IF;
    RETURN v_id;
END $$;
