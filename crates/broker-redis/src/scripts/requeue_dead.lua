-- Makes dead letters ready again as the next run, with fresh attempts.
-- KEYS 1 prefix
-- ARGV ids
-- Returns how many were dead
local again = {}
for _, id in ipairs(ARGV) do
  if call('ZREM', p .. 'k', id) == 1 then
    call('HDEL', p .. 'kr', id)
    call('SREM', p .. 'x', id)
    call('HDEL', p .. 'xr', id)
    local h = read_history(id)
    h.run, h.attempts, h.losses, h.refused = h.run + 1, 0, 0, 0
    write_history(id, h)
    again[#again + 1] = id
  end
end
if #again > 0 then
  make_ready('RPUSH', again)
  wake_for(true)
end
return #again
