-- Tells a handle something at commit. Each handle listens on a channel of its own.
CREATE OR REPLACE FUNCTION lovage_tell_handle(p_handle bigint, p_signal text) RETURNS void LANGUAGE sql AS $$
    SELECT pg_notify('lovage_' || to_hex(p_handle), p_signal)
$$;
