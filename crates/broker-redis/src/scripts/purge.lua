-- Removes messages of one place.
-- KEYS 1 prefix
-- ARGV 1 place: ready, delayed or dead; 2 limit
-- Returns how many
local place, limit = ARGV[1], tonumber(ARGV[2])
local ids = {}
if place == 'ready' then
  each_ready_list(call('HMGET', p .. 'i', 'ka', 'kb'), function(list)
    if #ids == limit then return false end
    for _, id in ipairs(call('LPOP', list, limit - #ids) or {}) do ids[#ids + 1] = id end
  end)
else
  local popped = call('ZPOPMIN', p .. (place == 'delayed' and 'd' or 'k'), limit)
  for i = 1, #popped, 2 do ids[#ids + 1] = popped[i] end
  if place == 'dead' and #ids > 0 then call('HDEL', p .. 'kr', unpack(ids)) end
end
remove(ids)
return #ids
