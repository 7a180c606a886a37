-- Searches in the text of failures by an index: the trigrams of what they say. Costs nothing for what did not fail.
--
-- On a table with millions of rows make the index before, without holding up workers: run this file by hand with
-- CREATE INDEX CONCURRENTLY, then `lovage migrate` finds it and has nothing left to do. It takes about a second per 10,000
-- failures. The functions name nothing but built-in ones: they also run where the search path is empty, as in a restore.

-- What searches look at: the message and its causes, a line each, in small letters (of ASCII), the first 1,000 characters.
CREATE OR REPLACE FUNCTION lovage_said(error text, error_chain jsonb) RETURNS text LANGUAGE sql IMMUTABLE PARALLEL SAFE AS $$
    SELECT lower(left(error || coalesce((SELECT string_agg(chr(10) || cause, '' ORDER BY place)
                                         FROM jsonb_array_elements_text(error_chain) WITH ORDINALITY AS c (cause, place)), ''),
                      1000) COLLATE "C")
$$;

-- All parts of three characters, each once.
CREATE OR REPLACE FUNCTION lovage_trigrams(said text) RETURNS text[] LANGUAGE sql IMMUTABLE PARALLEL SAFE AS $$
    SELECT coalesce(array_agg(DISTINCT substr(said, place, 3) COLLATE "C"), '{}') FROM generate_series(1, length(said) - 2) AS place
$$;

CREATE INDEX IF NOT EXISTS lovage_result_said ON lovage_result USING gin (lovage_trigrams(lovage_said(error, error_chain)))
    WHERE error IS NOT NULL;
