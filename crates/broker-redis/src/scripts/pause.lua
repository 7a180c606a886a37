-- Stops handing out.
-- KEYS 1 prefix
allow_when_full()
call('HSET', p .. 'i', 'paused', 1)
return 1
