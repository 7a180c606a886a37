-- The slot kinds that a reservation wants, as bits: 1 async, 2 blocking, 3 both.
CREATE OR REPLACE FUNCTION lovage_kinds(p_wants integer[]) RETURNS smallint LANGUAGE plpgsql AS $$
BEGIN
    RETURN (p_wants[1] > 0)::integer + 2 * (p_wants[2] > 0)::integer;
END $$;
