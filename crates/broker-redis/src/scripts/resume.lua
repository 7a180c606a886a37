-- Hands out again, and wakes as many idle handles as there are ready messages.
-- KEYS 1 prefix
-- ARGV none
-- Returns nothing
call('HDEL', p .. 'i', 'paused')
local ready, masks = 0, call('HMGET', p .. 'i', 'ka', 'kb')
each_ready_list(masks, function(list) ready = ready + call('LLEN', list) end)
-- One that does not want what is kept passes its hint on.
wake(math.min(ready, 1000))
-- What fell due meanwhile, and the claim on the timer, are for one of them too.
if ready == 0 then wake(1) end
return 1
