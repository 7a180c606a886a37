-- Leaves a command for a worker; answers whether it is registered.
CREATE OR REPLACE FUNCTION lovage_tell(p_worker text, p_command text, p_now bigint) RETURNS boolean
LANGUAGE plpgsql SET search_path FROM CURRENT AS $$
DECLARE
    v_handle bigint;
BEGIN
    SELECT handle INTO v_handle FROM lovage_worker WHERE id = p_worker AND until > lovage_now(p_now);
    IF NOT FOUND THEN
        RETURN false;
    END IF;
    INSERT INTO lovage_command (worker, command) VALUES (p_worker, p_command);
    PERFORM lovage_tell_handle(v_handle, 'c');
    RETURN true;
END $$;
