-- Ends messages of one reservation. The first write is a removal, so that a full Redis can be drained.
-- KEYS 1 prefix
-- ARGV 1 now or ''; 2 token; 3 dead letters to keep; 4 notes to keep; 5 a = acknowledged; 6 o = others;
--      then a ids; o ids; o triples: 'r' delay note | 'b' delay '' | 'u' delay '' (refused) | 'k' reason note |
--      'q' number of its kind (0: unsorted), the number of the kind that it was kept for or '' (returned unstarted)
-- Returns the positions (of the a + o ids) whose lease was lost
local now = clock(ARGV[1])
local token, acks, others = ARGV[2], tonumber(ARGV[5]), tonumber(ARGV[6])
local n = acks + others
local batch = p .. 'b:' .. token
local held = call('SMISMEMBER', batch, unpack(ARGV, 7, n + 6))
local removed = call('SREM', batch, unpack(ARGV, 7, n + 6))

local lost, seen = {}, {}
if removed < n then
  for i = 1, n do
    local id = ARGV[i + 6]
    if held[i] == 0 or seen[id] then
      lost[#lost + 1] = i
      held[i] = 0
    end
    seen[id] = true
  end
end
if removed == 0 then return lost end
if call('EXISTS', batch) == 0 then
  call('ZREM', p .. 'l', token)
  call('HDEL', p .. 'lc', token)
end

local gone = {}
for i = 1, acks do
  if held[i] == 1 then gone[#gone + 1] = ARGV[i + 6] end
end
remove(gone)
if others == 0 then return lost end

local head, tail, dead, first_due = {}, {}, {}, nil

-- Ready at once into `list`, or after a delay. What was cancelled meanwhile is not kept waiting.
local function again(id, after, list)
  if after == 0 or call('SISMEMBER', p .. 'x', id) == 1 then
    list[#list + 1] = id
    return
  end
  first_due = math.min(now + after, first_due or math.huge)
  call('ZADD', p .. 'd', now + after, id)
end

-- The place of a dead letter: a microsecond after the newest where several die at once, so that they stay in order.
local function dead_place()
  local newest = tonumber(call('ZREVRANGE', p .. 'k', 0, 0, 'WITHSCORES')[2]) or 0
  return newest >= now and newest < now + 1000000 and newest + 1 or now
end

-- Keeps messages that were not started for their kinds: those that were kept for it before, and those that are not to be
-- sorted, at the head, others at the tail.
local function keep(returned)
  local info = call('HMGET', p .. 'i', 'gap', 'burst', 'spent', 'paused', 'until', 'empty', 'mask')
  local records, suspects, kinds, unsorted, lists = call('HMGET', p .. 'm', unpack(returned.ids)), call('EXISTS', p .. 'a') == 1, 0, 0, {}
  for i, id in ipairs(returned.ids) do
    local priority, kind = records[i] and records[i]:byte(1) or 0, returned[i].kind
    if priority > 9 then priority = 0 end
    local letter = KINDS[kind] or ''
    local name, flag = 'r' .. letter .. priority, bit.lshift(1, priority)
    if suspects and read_history(id).losses >= 2 then name, flag = 's' .. letter, SUSPECTS end
    if kind > 0 then kinds = bit.bor(kinds, bit.lshift(1, kind - 1)) else unsorted = bit.bor(unsorted, flag) end
    local list = lists[name] or { kind = kind, flag = flag, head = {}, tail = {} }
    lists[name] = list
    if kind == 0 or returned[i].kept_for == kind then table.insert(list.head, 1, id) else table.insert(list.tail, id) end
  end
  local masks = { unpack(call('HMGET', p .. 'i', 'ka', 'kb')) }
  for name, list in pairs(lists) do
    if #list.head > 0 then call('LPUSH', p .. name, unpack(list.head)) end
    if #list.tail > 0 then call('RPUSH', p .. name, unpack(list.tail)) end
    if list.kind > 0 then
      masks[list.kind] = bit.bor(tonumber(masks[list.kind]) or 0, list.flag)
      call('HSET', p .. 'i', 'k' .. KINDS[list.kind], masks[list.kind])
    end
  end
  local mask = bit.bor(tonumber(info[7]) or 0, bit.band(unsorted, SUSPECTS - 1))
  if unsorted ~= 0 then call('HSET', p .. 'i', 'mask', mask) end
  -- Their tokens come back.
  local gap, token = tonumber(info[1]), tonumber(info[6])
  if gap then
    local spent = (tonumber(info[3]) or 0) - #returned.ids * gap
    token = spent - (tonumber(info[2]) - 1) * gap
    if token <= now then token = nil end
    call('HSET', p .. 'i', 'spent', spent, 'empty', token or '')
  end
  if info[4] then return end
  if token then
    if token < (tonumber(info[5]) or math.huge) then wake(1) end
    return
  end
  wake_wanting(kinds)
  if unsorted ~= 0 or gap and mask ~= 0 then wake(1) end
end

local returned = { ids = {} }
for i = 1, others do
  local id, at = ARGV[acks + i + 6], n + 3 * i + 4
  local kind, value, note = ARGV[at], ARGV[at + 1], ARGV[at + 2]
  if held[acks + i] == 1 and kind == 'q' then
    table.insert(returned.ids, id)
    returned[#returned.ids] = { kind = tonumber(value), kept_for = tonumber(note) }
  elseif held[acks + i] == 1 then
    local h = read_history(id)
    h.deliveries = h.deliveries + 1
    if kind == 'r' or kind == 'k' then add_note(h, note, tonumber(ARGV[4])) end
    if kind == 'r' then
      h.attempts, h.losses = h.attempts + 1, 0
    elseif kind == 'u' and h.refused == 0 then
      h.refused = now
    end
    write_history(id, h)
    if kind == 'k' then
      dead[#dead + 1] = id
      call('ZADD', p .. 'k', dead_place(), id)
      call('HSET', p .. 'kr', id, string.format('%.0f ', now) .. value)
    else
      again(id, tonumber(value), kind == 'r' and tail or head)
    end
  end
end
finish(dead)
make_ready('RPUSH', tail)
make_ready('LPUSH', head)
if #returned.ids > 0 then keep(returned) end
wake_for(#head + #tail > 0, first_due)

local excess = #dead > 0 and call('ZCARD', p .. 'k') - tonumber(ARGV[3]) or 0
if excess > 0 then
  local oldest = call('ZRANGE', p .. 'k', 0, math.min(excess, 1000) - 1)
  call('ZREM', p .. 'k', unpack(oldest))
  call('HDEL', p .. 'kr', unpack(oldest))
  remove(oldest)
end
return lost
