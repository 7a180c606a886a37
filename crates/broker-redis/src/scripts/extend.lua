-- Renews the leases of reservations.
-- KEYS 1 prefix
-- ARGV 1 now or ''; 2 lease in microseconds; then tokens
-- Returns positions of the tokens that had ended, ids that were cancelled
allow_when_full()
local ends = clock(ARGV[1]) + tonumber(ARGV[2])
local cancels = call('EXISTS', p .. 'x') == 1
local lost, revoked = {}, {}
for i = 3, #ARGV do
  local token = ARGV[i]
  if not call('ZSCORE', p .. 'l', token) then
    lost[#lost + 1] = i - 2
  else
    call('ZADD', p .. 'l', 'XX', ends, token)
    local channel, length = (call('HGET', p .. 'lc', token) or ''):match('([^\n]*)\n?(.*)')
    if channel ~= '' and length ~= ARGV[2] then call('HSET', p .. 'lc', token, channel .. '\n' .. ARGV[2]) end
    if cancels then
      for _, id in ipairs(call('SINTER', p .. 'b:' .. token, p .. 'x')) do revoked[#revoked + 1] = id end
    end
  end
end
return { lost, revoked }
