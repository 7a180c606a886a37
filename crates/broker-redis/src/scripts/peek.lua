-- A page of one place.
-- KEYS 1 prefix
-- ARGV 1 place; 2 how many to skip; 3 how many to answer
-- Returns what `look` answers for each, and 1 when there are more
local place, skip, limit = ARGV[1], tonumber(ARGV[2]), tonumber(ARGV[3])
local found, more = {}, 0

local function add(id, at)
  if #found == limit then
    more = 1
    return
  end
  found[#found + 1] = look(id, place, at)
end

-- Adds from a part of `length`, of which `range(first, last)` answers ids, after what is still to be skipped.
local function part(length, range)
  if skip >= length then
    skip = skip - length
    return
  end
  if more == 1 then return end
  for _, id in ipairs(range(skip, skip + limit - #found)) do add(id[1], id[2]) end
  skip = 0
end

local function scored(command, key)
  part(call('ZCARD', key), function(first, last)
    local flat, pairs_of = call(command, key, first, last, 'WITHSCORES'), {}
    for i = 1, #flat, 2 do pairs_of[#pairs_of + 1] = { flat[i], flat[i + 1] } end
    return pairs_of
  end)
end

local function plain(ids, at)
  local pairs_of = {}
  for i, id in ipairs(ids) do pairs_of[i] = { id, at } end
  return pairs_of
end

if place == 'ready' then
  each_ready_list(call('HMGET', p .. 'i', 'ka', 'kb'), function(list)
    part(call('LLEN', list), function(first, last) return plain(call('LRANGE', list, first, last)) end)
  end)
elseif place == 'delayed' then
  scored('ZRANGE', p .. 'd')
elseif place == 'dead' then
  scored('ZREVRANGE', p .. 'k')
else
  local tokens = call('ZRANGE', p .. 'l', 0, -1, 'WITHSCORES')
  for i = 1, #tokens, 2 do
    local ids = call('SMEMBERS', p .. 'b:' .. tokens[i])
    table.sort(ids)
    part(#ids, function(first, last)
      return plain({ unpack(ids, first + 1, math.min(last + 1, #ids)) }, tokens[i + 1])
    end)
  end
end
return { found, more }
