-- How much is where.
-- KEYS 1 prefix
-- ARGV none
-- Returns ready, delayed, leased, dead, 1 when paused, the rate limit (or nil), the record at the head (or nil)
local ready, leased, head = 0, 0, false
each_ready_list(call('HMGET', p .. 'i', 'ka', 'kb'), function(list)
  ready = ready + call('LLEN', list)
  if not head and ready > 0 then head = call('LINDEX', list, 0) end
end)
for _, token in ipairs(call('ZRANGE', p .. 'l', 0, -1)) do leased = leased + call('SCARD', p .. 'b:' .. token) end
local info = call('HMGET', p .. 'i', 'paused', 'rate')
local record = head and call('HGET', p .. 'm', head)
return {
  ready, call('ZCARD', p .. 'd'), leased, call('ZCARD', p .. 'k'), info[1] and 1 or 0, info[2],
  record and record:sub(1, 9),
}
