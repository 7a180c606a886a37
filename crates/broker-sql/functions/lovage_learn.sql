-- Takes what a worker says of its tasks in the place of what was known. An older worker does not say.
CREATE OR REPLACE FUNCTION lovage_learn(p_info json) RETURNS void LANGUAGE plpgsql SET search_path FROM CURRENT AS $$
DECLARE
    v_task json;
BEGIN
    FOR v_task IN
        SELECT t FROM json_array_elements(p_info -> 'tasks') AS t
        WHERE json_typeof(t -> 'redacted') = 'array' ORDER BY t ->> 'name'
    LOOP
        IF json_array_length(v_task -> 'redacted') = 0 THEN
            DELETE FROM lovage_hidden WHERE task = v_task ->> 'name';
        ELSE
            INSERT INTO lovage_hidden (task, marks) VALUES (v_task ->> 'name', v_task ->> 'redacted')
            ON CONFLICT (task) DO UPDATE SET marks = excluded.marks;
        END IF;
    END LOOP;
END $$;
