-- Returns the given instant, or the server's clock, in microseconds since 1970.
CREATE OR REPLACE FUNCTION lovage_now(p_now bigint) RETURNS bigint LANGUAGE sql VOLATILE AS $$
    SELECT coalesce(p_now, (extract(epoch FROM clock_timestamp()) * 1000000)::bigint)
$$;
