-- Registers a worker, keeps what its tasks hide when it is new, forgets the ones that ended, and takes what it was told.
-- KEYS 1 prefix of the registry, `lv1:{#}:`
-- ARGV 1 now or ''; 2 time to live in microseconds; 3 id; 4 channel; 5 what it says of itself (JSON)
-- Returns live workers, commands (JSON), 1 where there is a list of queues, else 0
allow_when_full()
local now = clock(ARGV[1])
local id = ARGV[3]
local ended = call('ZSCORE', p .. 'workers', id)
if ended and tonumber(ended) <= now then call('DEL', p .. 'told:' .. id) end
if not ended then
  for _, task in ipairs(cjson.decode(ARGV[5]).tasks) do
    -- An older worker does not say.
    if type(task.redacted) == 'table' then
      if #task.redacted > 0 then
        call('HSET', p .. 'hidden', task.name, cjson.encode(task.redacted))
      else
        call('HDEL', p .. 'hidden', task.name)
      end
    end
  end
end
call('ZADD', p .. 'workers', now + tonumber(ARGV[2]), id)
-- A clock that was set back must not stretch a registration.
local after = '(' .. string.format('%.0f', now + tonumber(ARGV[2]))
local late = call('ZRANGEBYSCORE', p .. 'workers', after, '+inf', 'WITHSCORES', 'LIMIT', 0, 100)
for i = 1, #late, 2 do
  local known = call('HGET', p .. 'worker', late[i])
  local seen = known and struct.unpack('>I8', known)
  if seen and seen > now then
    call('ZADD', p .. 'workers', now + tonumber(late[i + 1]) - seen, late[i])
    call('HSET', p .. 'worker', late[i], struct.pack('>I8', now) .. known:sub(9))
  end
end
call('HSET', p .. 'worker', id, struct.pack('>I8I2', now, #ARGV[4]) .. ARGV[4] .. ARGV[5])
for _, gone in ipairs(call('ZRANGEBYSCORE', p .. 'workers', '-inf', now, 'LIMIT', 0, 100)) do
  call('ZREM', p .. 'workers', gone)
  call('HDEL', p .. 'worker', gone)
  call('DEL', p .. 'told:' .. gone)
end
local told = call('LRANGE', p .. 'told:' .. id, 0, -1)
if #told > 0 then call('DEL', p .. 'told:' .. id) end
return { call('ZCOUNT', p .. 'workers', '(' .. string.format('%.0f', now), '+inf'), told, call('EXISTS', p .. 'queues') }
