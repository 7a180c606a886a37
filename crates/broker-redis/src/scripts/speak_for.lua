-- Renews the registration of a worker whose loop cannot. Its channel and what it was told stay as they are.
-- KEYS 1 prefix of the registry, `lv1:{#}:`
-- ARGV 1 now or ''; 2 time to live in microseconds; 3 id; 4 what is said of it (JSON)
-- Returns 1, or 0 when it is not registered
allow_when_full()
local now = clock(ARGV[1])
local id = ARGV[3]
local ends = call('ZSCORE', p .. 'workers', id)
local known = call('HGET', p .. 'worker', id)
if not ends or not known or tonumber(ends) <= now then return 0 end
call('ZADD', p .. 'workers', now + tonumber(ARGV[2]), id)
local channel = known:sub(9, 10 + struct.unpack('>I2', known, 9))
call('HSET', p .. 'worker', id, struct.pack('>I8', now) .. channel .. ARGV[4])
return 1
