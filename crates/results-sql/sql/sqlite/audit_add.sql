-- Keeps actions. ?1: JSON rows of [at in microseconds, who, address, what, target, outcome], in the order of the new ids.
INSERT INTO lovage_audit (at, who, address, what, target, outcome)
SELECT value ->> 0, value ->> 1, value ->> 2, value ->> 3, value ->> 4, value ->> 5 FROM json_each(?1) ORDER BY key
