-- A handle takes no more work: what it was going to do for this queue falls to another idle one.
-- KEYS 1 prefix
-- ARGV 1 channel; 2 '1' when it had not yet taken a hint of work
-- Returns nothing
local channel = ARGV[1]
call('ZREM', p .. 'w', channel)
local info = call('HMGET', p .. 'i', 'claim', 'paused')
local kept_time = info[1] == channel
if kept_time then call('HDEL', p .. 'i', 'claim', 'until') end
if (kept_time or ARGV[2] == '1') and not info[2] then wake(1) end
return 1
