-- All failures, or $4 of them, that have the trigrams of a text, in no order: $5 the text.
FROM lovage_result
WHERE error IS NOT NULL AND lovage_trigrams(lovage_said(error, error_chain)) @> lovage_trigrams($5::text)
LIMIT $4::bigint
