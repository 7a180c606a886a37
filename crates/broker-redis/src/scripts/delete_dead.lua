-- Removes dead letters.
-- KEYS 1 prefix
-- ARGV ids
-- Returns how many were dead
local gone = {}
for _, id in ipairs(ARGV) do
  if call('ZREM', p .. 'k', id) == 1 then gone[#gone + 1] = id end
end
if #gone > 0 then call('HDEL', p .. 'kr', unpack(gone)) end
remove(gone)
return #gone
