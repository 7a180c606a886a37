-- Takes messages of one queue.
-- KEYS 1 prefix
-- ARGV 1 now or ''; 2 n; then n ids; then per message: priority digit, body, and where the digit is followed by `+`
--      also: delay ('', 'f' microseconds from now, 'u' instant), unique key, its time to live ('' none), how it is
--      claimed (holding 'r': replace a holder that waits, 's': until the start), when it expires (as the delay),
--      fence name, slot
-- Returns the refused ones, flat: position, and 'd' and the holder's id, 's' and the newest slot, or 'e' and the clock where
--      the slot is too far ahead of it
local now = clock(ARGV[1])

-- One message without options, as most calls bring: nothing to judge or to sort.
if ARGV[2] == '1' and #ARGV[4] == 1 then
  local id, priority = ARGV[3], ARGV[4]:byte() - 48
  if call('HSETNX', p .. 'm', id, struct.pack('>BI8', priority, now) .. ARGV[5]) == 0 then return { 1, 'd', id } end
  call('RPUSH', p .. 'r' .. priority, id)
  local info, added = call('HMGET', p .. 'i', 'mask', 'paused', 'until', 'empty'), bit.lshift(1, priority)
  local mask = tonumber(info[1]) or 0
  if bit.band(mask, added) == 0 then call('HSET', p .. 'i', 'mask', mask + added) end
  -- Without a token it is of use with the next one, for which somebody may look already.
  local token = tonumber(info[4])
  if not info[2] and not (token and token >= (tonumber(info[3]) or math.huge)) then wake(1) end
  return {}
end

local n = tonumber(ARGV[2])
local found = call('HMGET', p .. 'm', unpack(ARGV, 3, n + 2))
local fields, ready, delayed, refused = {}, {}, {}, {}
local stamps, seen, first_due, added, urgent = {}, {}, nil, 0, false

local function due_at(delay)
  if delay == '' then return nil end
  local number = tonumber(delay:sub(2))
  local due = delay:byte(1) == 102 and now + number or number
  return due > now and due or nil
end

-- The claim of a live message on this key.
local function holder_of(key)
  local claim = call('HGET', p .. 'u', key)
  if not claim or #claim ~= 24 then return nil end
  local holder, ends = claim:sub(1, 16), struct.unpack('>I8', claim, 17)
  if ends ~= 0 and ends <= now then return nil end
  if not seen[holder] and call('HEXISTS', p .. 'm', holder) == 0 then return nil end
  return holder
end

-- Whether no worker has the holder of a key (who is dead holds none).
local function waits(holder)
  return seen[holder] or not reservation_of(holder)
end

-- Takes the key from a holder that waits, which becomes ready to learn of it.
local function replace(holder, by)
  release({ holder })
  call('SADD', p .. 'x', holder)
  call('HSET', p .. 'xr', holder, by)
  local delayed_before = call('ZREM', p .. 'd', holder) == 1
  for i = 2, seen[holder] and #delayed or 0, 2 do
    if delayed[i] == holder then
      table.remove(delayed, i)
      table.remove(delayed, i - 1)
      delayed_before = true
      break
    end
  end
  if not delayed_before then return end
  urgent = true
  local history = call('HGET', p .. 'a', holder)
  if history and #history >= 24 and struct.unpack('>I4', history, 13) >= 2 then
    call('RPUSH', p .. 's', holder)
    return
  end
  local priority = seen[holder] or (call('HGET', p .. 'm', holder) or '\0'):byte(1)
  if priority > 9 then priority = 0 end
  call('RPUSH', p .. 'r' .. priority, holder)
  added = bit.bor(added, bit.lshift(1, priority))
end

-- Judges the options of a message, from ARGV[at] on; takes its fence and unique key when nothing refuses it.
local function judge(id, at)
  local key, ttl, how, expires, fence, slot = unpack(ARGV, at, at + 5)
  local holder = key ~= '' and holder_of(key)
  if holder and not (how:find('r', 1, true) and waits(holder)) then return 'd', holder end
  if fence ~= '' then
    -- CLOCK_TOLERANCE; a newest slot beyond it comes from a clock that was set back.
    local latest = now + 10000000
    if tonumber(slot) > latest then return 'e', now end
    local newest = call('HGET', p .. 'f', fence)
    if newest and tonumber(newest) >= tonumber(slot) and tonumber(newest) <= latest then return 's', newest end
    call('HSET', p .. 'f', fence, slot)
  end
  if holder then replace(holder, id) end
  if key ~= '' then
    local ends = ttl ~= '' and now + tonumber(ttl) or 0
    call('HSET', p .. 'u', key, id .. struct.pack('>I8', ends))
    call('HSET', p .. 'ui', id, key)
    if how:find('s', 1, true) then
      local number = tonumber(expires:sub(2))
      if number and expires:byte(1) == 102 then number = now + number end
      call('HSET', p .. 'us', id, number or '')
    end
  end
end

local at = n + 3
for i = 1, n do
  local id, head, body = ARGV[i + 2], ARGV[at], ARGV[at + 1]
  local why, what, due
  if found[i] or seen[id] then why, what = 'd', id end
  at = at + 2
  if #head > 1 then
    if not why then why, what = judge(id, at + 1) end
    due = due_at(ARGV[at])
    at = at + 7
  end
  if why then
    refused[#refused + 1], refused[#refused + 2], refused[#refused + 3] = i, why, what
  else
    local priority = head:byte(1) - 48
    seen[id] = priority
    local stamp = stamps[priority]
    if not stamp then
      stamp, ready[priority] = struct.pack('>BI8', priority, now), {}
      stamps[priority] = stamp
    end
    fields[#fields + 1], fields[#fields + 2] = id, stamp .. body
    if due then
      delayed[#delayed + 1], delayed[#delayed + 2] = due, id
      first_due = math.min(due, first_due or due)
    else
      table.insert(ready[priority], id)
    end
  end
end
if #fields == 0 then return refused end

call('HSET', p .. 'm', unpack(fields))
for priority, ids in pairs(ready) do
  if #ids > 0 then
    call('RPUSH', p .. 'r' .. priority, unpack(ids))
    added = bit.bor(added, bit.lshift(1, priority))
  end
end
if #delayed > 0 then call('ZADD', p .. 'd', unpack(delayed)) end
local info = call('HMGET', p .. 'i', 'mask', 'paused', 'until', 'empty')
local mask = tonumber(info[1]) or 0
if bit.bor(mask, added) ~= mask then call('HSET', p .. 'i', 'mask', bit.bor(mask, added)) end
local token = tonumber(info[4])
if token and (urgent or added ~= 0) then urgent, added, first_due = false, 0, math.min(first_due or math.huge, token) end
if not info[2] and (urgent or added ~= 0 or first_due and first_due < (tonumber(info[3]) or math.huge)) then wake(1) end
return refused
