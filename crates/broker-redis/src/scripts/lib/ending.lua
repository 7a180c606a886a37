-- Tells the processes that wait for these messages.
local function tell(ids)
  local waiters = call('HMGET', p .. 'n', unpack(ids))
  for i, channels in ipairs(waiters) do
    if channels then
      for channel in channels:gmatch('[^\n]+') do call('PUBLISH', channel, 'o' .. ids[i]) end
      call('HDEL', p .. 'n', ids[i])
    end
  end
end

-- Messages came to their end, gone or dead.
local function finish(ids)
  if #ids == 0 then return end
  if call('EXISTS', p .. 'ui') == 1 then release(ids) end
  if call('EXISTS', p .. 'n') == 1 then tell(ids) end
end

-- Removes messages with everything that belongs to them. Most have nothing, so that one EXISTS is all it costs.
local function remove(ids)
  if #ids == 0 then return end
  call('HDEL', p .. 'm', unpack(ids))
  if call('EXISTS', p .. 'a', p .. 'x', p .. 'ui', p .. 'n') == 0 then return end
  if call('EXISTS', p .. 'a') == 1 then call('HDEL', p .. 'a', unpack(ids)) end
  if call('EXISTS', p .. 'x') == 1 then
    call('SREM', p .. 'x', unpack(ids))
    call('HDEL', p .. 'xr', unpack(ids))
  end
  finish(ids)
end
