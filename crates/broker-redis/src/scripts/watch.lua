-- Registers a process that waits for the end of a message.
-- KEYS 1 prefix
-- ARGV 1 id; 2 channel
-- Returns 1, or 0 when the message is not live or is dead: it has ended
local id, channel = ARGV[1], ARGV[2]
if call('HEXISTS', p .. 'm', id) == 0 or call('ZSCORE', p .. 'k', id) then return 0 end
local waiting = call('HGET', p .. 'n', id) or ''
if not waiting:find(channel .. '\n', 1, true) then call('HSET', p .. 'n', id, waiting .. channel .. '\n') end
return 1
