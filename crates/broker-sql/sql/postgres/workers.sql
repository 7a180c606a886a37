-- Those whose registration has not ended.
-- $1 now or null
SELECT info, seen FROM lovage_worker WHERE until > lovage_now($1) ORDER BY name, id
