-- The live workers.
-- KEYS 1 prefix of the registry
-- ARGV 1 now or ''
-- Returns for each: when it was seen (8 bytes), the length of its channel (2 bytes), channel, JSON
local after = '(' .. string.format('%.0f', clock(ARGV[1]))
local ids = call('ZRANGEBYSCORE', p .. 'workers', after, '+inf', 'LIMIT', 0, 5000)
if #ids == 0 then return {} end
return call('HMGET', p .. 'worker', unpack(ids))
