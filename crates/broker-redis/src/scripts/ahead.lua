-- How many messages are handed out before a ready one. Each list is searched 100,000 deep from both ends; between them
-- the middle is answered.
-- KEYS 1 prefix
-- ARGV 1 id
-- Returns the count, or nil when it is not ready
local id = ARGV[1]
local record = call('HGET', p .. 'm', id)
if not record or call('ZSCORE', p .. 'd', id) or call('ZSCORE', p .. 'k', id) then return false end
local priority = record:byte(1) or 0
if priority > 9 then priority = 0 end
local own, lists, position, kind_of = bit.lshift(1, priority), {}, nil, nil
each_ready_list(call('HMGET', p .. 'i', 'ka', 'kb'), function(list, kind, flag)
  local length = call('LLEN', list)
  local may_have = length > 0 and (flag == own or flag == SUSPECTS)
  position = may_have and (call('LPOS', list, id, 'MAXLEN', 100000) or call('LPOS', list, id, 'RANK', -1, 'MAXLEN', 100000))
  if not position and flag == own and length > 200000 and not reservation_of(id) then position = math.floor(length / 2) end
  if position then kind_of = kind return false end
  lists[#lists + 1] = { kind, length }
  if flag == own and kind == 0 then return false end
end)
if not position then return false end
for _, list in ipairs(lists) do
  -- What is kept for another kind is not before it.
  if kind_of == 0 or list[1] == 0 or list[1] == kind_of then position = position + list[2] end
end
return position
