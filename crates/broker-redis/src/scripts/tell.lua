-- Leaves a command for a worker.
-- KEYS 1 prefix of the registry
-- ARGV 1 now or ''; 2 id; 3 command (JSON)
-- Returns 1 when the worker is registered
allow_when_full()
local id = ARGV[2]
local ends = call('ZSCORE', p .. 'workers', id)
local entry = call('HGET', p .. 'worker', id)
if not ends or tonumber(ends) <= clock(ARGV[1]) or not entry then return 0 end
call('RPUSH', p .. 'told:' .. id, ARGV[3])
call('PUBLISH', entry:sub(11, 10 + struct.unpack('>I2', entry, 9)), 'c')
return 1
