-- Stops handing out.
-- KEYS 1 prefix
-- ARGV none
-- Returns 1
allow_when_full()
call('HSET', p .. 'i', 'paused', 1)
return 1
