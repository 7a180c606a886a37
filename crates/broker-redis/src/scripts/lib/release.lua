-- Frees the unique keys of messages that ended (or started), unless somebody else holds them by now.
local function release(ids)
  local keys = call('HMGET', p .. 'ui', unpack(ids))
  for i, key in ipairs(keys) do
    if key then
      local claim = call('HGET', p .. 'u', key)
      if claim and claim:sub(1, 16) == ids[i] then call('HDEL', p .. 'u', key) end
      call('HDEL', p .. 'ui', ids[i])
      call('HDEL', p .. 'us', ids[i])
    end
  end
end
