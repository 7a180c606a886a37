-- Makes messages ready, in order: suspects (two leases lost in a row) in their own list, others in the list of their priority. `RPUSH` adds them
-- at the tail, `LPUSH` at the head (the first of the ids then is the very first).
local function make_ready(command, ids)
  local first, last, step = 1, #ids, 1
  if command == 'LPUSH' then first, last, step = #ids, 1, -1 end
  local added = 0
  for i = first, last, step do
    local id = ids[i]
    local record = call('HGET', p .. 'm', id)
    if record then
      if read_history(id).losses >= 2 then
        call(command, p .. 's', id)
      else
        local priority = record:byte(1) or 0
        if priority > 9 then priority = 0 end
        call(command, p .. 'r' .. priority, id)
        added = bit.bor(added, bit.lshift(1, priority))
      end
    end
  end
  local mask = tonumber(call('HGET', p .. 'i', 'mask')) or 0
  local new = bit.bor(mask, added)
  if new ~= mask then call('HSET', p .. 'i', 'mask', new) end
  return new
end

-- Wakes one idle handle: something is ready, or something falls due before anybody looks (`due`). Without a token what is
-- ready falls due with the next one.
local function wake_for(ready, due)
  local info = call('HMGET', p .. 'i', 'paused', 'until', 'empty')
  if info[1] then return end
  local token = tonumber(info[3])
  if ready and token then ready, due = false, math.min(due or math.huge, token) end
  if ready or (due and due < (tonumber(info[2]) or math.huge)) then wake(1) end
end
