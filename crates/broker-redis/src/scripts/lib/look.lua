-- A message as it is found: id, record, history (or nil), 1 when it was cancelled or replaced, when it becomes ready, its
-- lease ends or it died (or nil), the reason of a dead letter (or nil), its place, who replaced it (or nil), the unique
-- key that it holds (or nil).
local function look(id, place, at)
  local record = call('HGET', p .. 'm', id)
  if not record then return nil end
  local reason
  if place == 'dead' then at, reason = (call('HGET', p .. 'kr', id) or ''):match('^(%d+) (.*)$') end
  local history = call('HGET', p .. 'a', id)
  local revoked, key = call('SISMEMBER', p .. 'x', id), call('HGET', p .. 'ui', id)
  local by = revoked == 1 and call('HGET', p .. 'xr', id)
  if key and (call('HGET', p .. 'u', key) or ''):sub(1, 16) ~= id then key = false end
  return { id, record, history, revoked, tonumber(at) or false, reason or false, place, by, key }
end

-- The reservation that holds a message, and when its lease ends.
local function reservation_of(id)
  local tokens = call('ZRANGE', p .. 'l', 0, -1, 'WITHSCORES')
  for i = 1, #tokens, 2 do
    if call('SISMEMBER', p .. 'b:' .. tokens[i], id) == 1 then return tokens[i], tokens[i + 1] end
  end
end
