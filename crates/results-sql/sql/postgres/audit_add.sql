-- Keeps actions. $1 to $6: a list for each column, in the order of the batch, which is that of the new ids.
INSERT INTO lovage_audit (at, who, address, what, target, outcome)
SELECT at, who, address, what, target, outcome
FROM unnest($1::timestamptz[], $2::text[], $3::text[], $4::text[], $5::text[], $6::text[])
     WITH ORDINALITY AS b (at, who, address, what, target, outcome, place)
ORDER BY place
