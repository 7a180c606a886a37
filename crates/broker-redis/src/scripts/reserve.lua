-- Hands out ready messages under one lease. The first write is a pop, so that a full Redis can be drained.
-- KEYS 1 prefix
-- ARGV 1 now or ''; 2 max; 3 token; 4 lease in microseconds; 5 '1' when a suspect may be handed out; 6 channel;
--      7 lost leases that make it poisoned; 8 bits of the kinds that are wanted; then how many of each kind
-- Returns now, microseconds until the next check or -1, then when something was found: ids, records,
--         histories (or nil), revoked flags (or nil), who replaced them (or nil), the numbers of the kinds that they were
--         kept for (or nil)
local now = clock(ARGV[1])
local token, channel = ARGV[3], ARGV[6]
local info = call('HMGET', p .. 'i', 'paused', 'mask', 'claim', 'until', 'guard', 'gap', 'burst', 'spent', 'ka', 'kb')
local masks, sorted = { info[9], info[10] }, info[9] or info[10]

-- A rate limit: one token comes back each `gap`, up to `burst`; at `spent` all of them are back. See `RateLimit` in core.
local gap, burst, spent, empty_until = tonumber(info[6]), tonumber(info[7]), nil, nil
local tokens = math.huge
if gap then
  spent = math.min(math.max(tonumber(info[8]) or 0, now), now + burst * gap)
  tokens = math.floor((now + burst * gap - spent) / gap)
end
local function spend(count)
  if not gap then return end
  spent = spent + count * gap
  local token = spent - (burst - 1) * gap
  empty_until = token > now and token or nil
  redis.pcall('HSET', p .. 'i', 'spent', spent, 'empty', empty_until or '')
end

-- When this handle has to look again. Of all idle handles only one is told, the one that holds the claim.
local function next_check(ready)
  local due = call('ZRANGE', p .. 'd', 0, 0, 'WITHSCORES')[2]
  local ends = call('ZRANGE', p .. 'l', 0, 0, 'WITHSCORES')[2]
  local at = tonumber(due) or math.huge
  if ends then at = math.min(at, math.max(tonumber(ends), tonumber(info[5]) or 0)) end
  if ready and empty_until then at = math.min(at, empty_until) end
  if at == math.huge then
    if info[3] == channel then call('HDEL', p .. 'i', 'claim', 'until') end
    return -1
  end
  local claimed = tonumber(info[4]) or 0
  if info[3] and info[3] ~= channel and claimed > now and claimed <= at then return -1 end
  redis.pcall('HSET', p .. 'i', 'claim', channel, 'until', at)
  return math.max(0, at - now)
end

-- In a full Redis it is not registered: its heartbeat finds what there is. See `wake_wanting`.
local function idle()
  redis.pcall('ZADD', p .. 'w', now - now % 16 + tonumber(ARGV[8]), channel)
end

-- The kinds (bits) for which messages are kept, those of suspects only where that is asked for.
local function kept_kinds(suspects)
  local kinds = 0
  for kind, mask in ipairs(sorted and masks or {}) do
    mask = tonumber(mask) or 0
    if mask > SUSPECTS or mask > 0 and (mask < SUSPECTS or suspects) then kinds = kinds + bit.lshift(1, kind - 1) end
  end
  return kinds
end

-- It wants nothing, and passes a hint on.
if ARGV[2] == '0' then
  call('ZREM', p .. 'w', channel)
  local kept_time = info[3] == channel
  if kept_time then call('HDEL', p .. 'i', 'claim', 'until') end
  if not info[1] then
    if kept_time or (tonumber(info[2]) or 0) ~= 0 then wake(1) end
    wake_wanting(kept_kinds(false))
  end
  return { now, -1 }
end

if info[1] then
  idle()
  return { now, -1 }
end
local mask = tonumber(info[2]) or 0
local due = call('ZRANGEBYSCORE', p .. 'd', '-inf', now, 'LIMIT', 0, 100)
if #due > 0 then
  call('ZREM', p .. 'd', unpack(due))
  mask = make_ready('RPUSH', due)
end

-- Suspects have a history, so that without histories there are none.
local special = call('EXISTS', p .. 'a', p .. 'x', p .. 'us') > 0
local popped, room, before = {}, math.min(tonumber(ARGV[2]), tokens), mask
local kinds
if sorted then
  local suspects, wants = special and ARGV[5] == '1' and 1 or 0, { unpack(ARGV, 9) }
  kinds = {}
  each_ready_list(masks, function(list, kind, flag)
    if room == 0 then return false end
    local most = kind == 0 and room or math.min(room, tonumber(wants[kind]))
    if flag == SUSPECTS then
      most = math.min(most, suspects)
    elseif kind == 0 and bit.band(mask, flag) == 0 then
      return
    end
    if most == 0 then return end
    local got = call('LPOP', list, most) or {}
    for _, id in ipairs(got) do
      popped[#popped + 1] = id
      kinds[#popped] = kind
    end
    room = room - #got
    if flag == SUSPECTS then suspects = suspects - #got end
    local emptied = #got < most or call('EXISTS', list) == 0
    if kind == 0 then
      if emptied and flag ~= SUSPECTS then mask = bit.bxor(mask, flag) end
      return
    end
    wants[kind] = wants[kind] - #got
    if emptied then
      masks[kind] = bit.bxor(tonumber(masks[kind]), flag)
      local field = 'k' .. KINDS[kind]
      if masks[kind] == 0 then call('HDEL', p .. 'i', field) else redis.pcall('HSET', p .. 'i', field, masks[kind]) end
    end
  end)
elseif special and ARGV[5] == '1' and room > 0 then
  popped[1] = call('LPOP', p .. 's') or nil
  room = room - #popped
end
for priority = sorted and -1 or 9, 0, -1 do
  local has = bit.lshift(1, priority)
  if room > 0 and bit.band(mask, has) ~= 0 then
    local list = p .. 'r' .. priority
    local got = call('LPOP', list, room) or {}
    for _, id in ipairs(got) do popped[#popped + 1] = id end
    room = room - #got
    if room > 0 or call('EXISTS', list) == 0 then mask = bit.bxor(mask, has) end
  end
end
if mask ~= before then call('HSET', p .. 'i', 'mask', mask) end
spend(#popped)
if #popped == 0 then
  -- Suspects do not count: handles that do not ask for them would wake each other.
  local others = not empty_until and bit.band(kept_kinds(false), bit.bnot(tonumber(ARGV[8]))) or 0
  if others ~= 0 then
    call('ZREM', p .. 'w', channel)
    wake_wanting(others)
  end
  idle()
  return { now, next_check(mask ~= 0 or (special and call('EXISTS', p .. 's') == 1) or kept_kinds(true) ~= 0) }
end

local ids, records = popped, call('HMGET', p .. 'm', unpack(popped))
for i = #ids, 1, -1 do
  -- Not written by us, or gone: nobody could ever settle it.
  if not records[i] or #ids[i] ~= 16 then
    table.remove(ids, i)
    table.remove(records, i)
    if kinds then table.remove(kinds, i) end
  end
end
if #ids == 0 then return { now, 0 } end
call('SADD', p .. 'b:' .. token, unpack(ids))
call('ZADD', p .. 'l', now + tonumber(ARGV[4]), token)
call('HSET', p .. 'lc', token, channel .. '\n' .. ARGV[4])
call('ZREM', p .. 'w', channel)
-- Who is full does not look again soon: somebody else has to keep the time.
local full = #popped == tonumber(ARGV[2]) and info[3] == channel
if full then call('HDEL', p .. 'i', 'claim', 'until') end
local more = mask ~= 0 or (special and call('EXISTS', p .. 's') == 1)
local kept = kept_kinds(true)
-- Without a token more is of no use yet, and somebody may keep the time already.
if empty_until then
  more = (more or kept ~= 0) and empty_until < (tonumber(info[4]) or math.huge)
  kept = 0
end
if full or more then wake(1) end
wake_wanting(kept)
if not special then return { now, -1, ids, records, false, false, false, kinds } end
local histories = call('HMGET', p .. 'a', unpack(ids))
local revoked = call('SMISMEMBER', p .. 'x', unpack(ids))

-- Frees the keys that are held until the start: of what is to be run now.
if call('EXISTS', p .. 'us') == 1 then
  local started = {}
  for i, expires in ipairs(call('HMGET', p .. 'us', unpack(ids))) do
    local history = histories[i]
    local losses = history and #history >= 24 and struct.unpack('>I4', history, 13) or 0
    if expires and revoked[i] == 0 and now < (tonumber(expires) or math.huge) and losses < tonumber(ARGV[7]) then
      started[#started + 1] = ids[i]
    end
  end
  if #started > 0 then release(started) end
end

local replaced = false
for _, flag in ipairs(revoked) do
  if flag == 1 then replaced = call('HMGET', p .. 'xr', unpack(ids)) break end
end
return { now, -1, ids, records, histories, revoked, replaced, kinds }
