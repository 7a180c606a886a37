-- How much is where.
-- KEYS 1 prefix
-- ARGV none
-- Returns ready, delayed, leased, dead, 1 when paused, the rate limit (or nil), the record at the head (or nil)
local ready, leased, head = 0, 0, false
for _, list in ipairs({ 's', 'r9', 'r8', 'r7', 'r6', 'r5', 'r4', 'r3', 'r2', 'r1', 'r0' }) do
  ready = ready + call('LLEN', p .. list)
  if not head and ready > 0 then head = call('LINDEX', p .. list, 0) end
end
for _, token in ipairs(call('ZRANGE', p .. 'l', 0, -1)) do leased = leased + call('SCARD', p .. 'b:' .. token) end
local info = call('HMGET', p .. 'i', 'paused', 'rate')
local record = head and call('HGET', p .. 'm', head)
return {
  ready, call('ZCARD', p .. 'd'), leased, call('ZCARD', p .. 'k'), info[1] and 1 or 0, info[2],
  record and record:sub(1, 9),
}
