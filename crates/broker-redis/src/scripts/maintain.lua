-- Reclaims ended leases, makes due messages ready, and pushes a wake-up that was lost.
-- KEYS 1 prefix
-- ARGV 1 now or ''; 2 limit; 3 lease in microseconds; 4 age in microseconds at which idle handles are forgotten;
--      5 channel of the caller
-- Returns reclaimed, promoted, 1 when a reservation would be handed something, 1 when messages are leased
allow_when_full()
local now = clock(ARGV[1])
local limit, lease = tonumber(ARGV[2]), tonumber(ARGV[3])
local info = call('HMGET', p .. 'i', 'maintained', 'guard', 'paused', 'mask', 'until', 'empty', 'ka', 'kb')
local empty_until = tonumber(info[6]) or 0

-- After an absence live workers renew first.
local guard = tonumber(info[2]) or 0
local last = tonumber(info[1])
if not last or now - last > lease / 2 then guard = now + lease end
-- A clock that was set back must not stretch it.
guard = math.min(guard, now + lease)
call('HSET', p .. 'i', 'maintained', now, 'guard', guard)

-- Nor a lease, nor the time since which a handle is idle.
local function after(time) return '(' .. string.format('%.0f', time) end
local late = call('ZRANGEBYSCORE', p .. 'l', after(now + lease), '+inf', 'WITHSCORES', 'LIMIT', 0, limit)
for i = 1, #late, 2 do
  local length = tonumber((call('HGET', p .. 'lc', late[i]) or ''):match('\n(%d+)$')) or lease
  if tonumber(late[i + 1]) > now + length then call('ZADD', p .. 'l', now + length, late[i]) end
end
local idle = call('ZRANGEBYSCORE', p .. 'w', after(now + 16), '+inf', 'WITHSCORES', 'LIMIT', 0, limit)
for i = 1, #idle, 2 do call('ZADD', p .. 'w', now - now % 16 + tonumber(idle[i + 1]) % 16, idle[i]) end

local reclaimed = {}

-- Takes back what is left of a reservation, as far as the limit allows.
local function reclaim(token)
  local batch = p .. 'b:' .. token
  local ids = call('SPOP', batch, limit - #reclaimed)
  local records, priorities = #ids > 0 and call('HMGET', p .. 'm', unpack(ids)) or {}, {}
  for i, id in ipairs(ids) do priorities[id] = records[i] and records[i]:byte(1) or 0 end
  -- As they were handed out: the set has forgotten it, but ids grow with time.
  table.sort(ids, function(a, b)
    if priorities[a] ~= priorities[b] then return priorities[a] > priorities[b] end
    return a < b
  end)
  for _, id in ipairs(ids) do
    local h = read_history(id)
    h.losses, h.deliveries = h.losses + 1, h.deliveries + 1
    write_history(id, h)
    reclaimed[#reclaimed + 1] = id
  end
  if call('EXISTS', batch) == 0 then
    call('ZREM', p .. 'l', token)
    call('HDEL', p .. 'lc', token)
  end
end

if now >= guard then
  for _, token in ipairs(call('ZRANGEBYSCORE', p .. 'l', '-inf', now, 'LIMIT', 0, limit)) do
    if #reclaimed == limit then break end
    reclaim(token)
  end
  make_ready('LPUSH', reclaimed)
end

local due = call('ZRANGEBYSCORE', p .. 'd', '-inf', now, 'LIMIT', 0, limit)
if #due > 0 then
  call('ZREM', p .. 'd', unpack(due))
  make_ready('RPUSH', due)
end

-- The caller lives. Its place among the idle ones changes only when it would soon be forgotten.
local idle_since = call('ZSCORE', p .. 'w', ARGV[5])
if idle_since and tonumber(idle_since) < now - tonumber(ARGV[4]) / 2 then
  -- The lowest bits of the score are the kinds that it wants.
  call('ZADD', p .. 'w', now - now % 16 + idle_since % 16, ARGV[5])
end
call('ZREMRANGEBYSCORE', p .. 'w', '-inf', now - tonumber(ARGV[4]))
local has_ready = #reclaimed + #due > 0 or info[4] and info[4] ~= '0' or info[7] or info[8] or call('EXISTS', p .. 's') == 1
local ready = has_ready
-- Without a token it is of no use yet, and somebody keeps the time.
if ready and empty_until > now and (tonumber(info[5]) or math.huge) <= empty_until then ready = false end
-- Whoever was to keep the time did not, or it is the caller, who looks next anyway.
if info[5] and tonumber(info[5]) <= now then
  call('HDEL', p .. 'i', 'claim', 'until')
  ready = ready or call('EXISTS', p .. 'd', p .. 'l') > 0
end
if ready and not info[3] then
  -- The caller is awake: its hint costs nobody's sleep. One that is not idle is busy, or its hint was lost.
  if call('ZREM', p .. 'w', ARGV[5]) == 0 then wake(1) end
  call('PUBLISH', ARGV[5], 'w' .. p:match('{(.*)}'))
end
local hands_out = has_ready and empty_until <= now and not info[3]
return { #reclaimed, #due, hands_out and 1 or 0, call('EXISTS', p .. 'l') }
