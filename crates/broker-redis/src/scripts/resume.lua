-- Hands out again, and wakes as many idle handles as there are ready messages.
-- KEYS 1 prefix
-- ARGV none
-- Returns nothing
call('HDEL', p .. 'i', 'paused')
local ready = call('LLEN', p .. 's')
for priority = 0, 9 do ready = ready + call('LLEN', p .. 'r' .. priority) end
wake(math.min(ready, 1000))
-- What fell due meanwhile, and the claim on the timer, are for one of them too.
if ready == 0 then wake(1) end
return 1
