-- How many failures have the trigrams of the text $1, counted up to $2.
SELECT count(*) FROM (
    SELECT FROM lovage_result
    WHERE error IS NOT NULL AND lovage_trigrams(lovage_said(error, error_chain)) @> lovage_trigrams($1::text)
    LIMIT $2::bigint) AS counted
