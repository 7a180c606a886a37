-- Wakes the handle that has been idle the longest among those that want one of these kinds (bits, the lowest for the first
-- kind). The lowest four bits of the score of a handle in `w` are the kinds that it wants.
local function wake_wanting(kinds)
  local queue, first = p:match('{(.*)}'), 0
  while kinds ~= 0 do
    local page = call('ZRANGE', p .. 'w', first, first + 99, 'WITHSCORES')
    for i = 1, #page, 2 do
      if bit.band(tonumber(page[i + 1]) % 16, kinds) ~= 0 then
        call('ZREM', p .. 'w', page[i])
        if call('PUBLISH', page[i], 'w' .. queue) > 0 or page[i]:find(':c:@', 1, true) then return end
        first = first - 1
      end
    end
    if #page < 200 then return end
    first = first + 100
  end
end

-- Visits the lists of ready messages in the order of reservation: suspects first, then by priority; in each of these steps
-- the kept messages, the kind whose head is older first, then those that no worker has sorted. `masks` are the fields of
-- the kinds. `visit` gets the list, the number of its kind (0: not sorted) and its flag; it ends the walk by `false`.
local function each_ready_list(masks, visit)
  local function step(name, suffix, flag)
    local lists = {}
    for kind, letter in ipairs(KINDS) do
      if bit.band(tonumber(masks[kind]) or 0, flag) ~= 0 then lists[#lists + 1] = { p .. name .. letter .. suffix, kind } end
    end
    if #lists > 1 then
      for _, list in ipairs(lists) do list[3] = call('LINDEX', list[1], 0) or '' end
      table.sort(lists, function(a, b) return a[3] < b[3] end)
    end
    lists[#lists + 1] = { p .. name .. suffix, 0 }
    for _, list in ipairs(lists) do
      if visit(list[1], list[2], flag) == false then return false end
    end
  end
  if step('s', '', SUSPECTS) == false then return end
  for priority = 9, 0, -1 do
    if step('r', priority, bit.lshift(1, priority)) == false then return end
  end
end
