-- Shared by every script of a queue. KEYS[1] is the prefix of all its keys, such as `lv1:{mail}:`; it carries the
-- hash tag, so a cluster runs the script where all of them are. Times are microseconds, below 2^53; numbers go to
-- commands as numbers, because `..` and tostring would round them.
local p = KEYS[1]
local call = redis.call

-- The given instant, or the server's own clock.
local function clock(given)
  local now = tonumber(given)
  if now then return now end
  local time = call('TIME')
  return time[1] * 1000000 + time[2]
end

-- Wakes up to `wanted` handles that wait for work, the longest idle first; dead ones (nobody listens) are skipped,
-- four at most in one go. In a cluster (`:c:@`) who listens at another node is not counted: there all count as woken.
local function wake(wanted)
  local queue, woken, missed = p:match('{(.*)}'), 0, 0
  while woken < wanted and missed < 4 do
    local idle = call('ZPOPMIN', p .. 'w')[1]
    if not idle then return end
    if call('PUBLISH', idle, 'w' .. queue) > 0 or idle:find(':c:@', 1, true) then woken = woken + 1 else missed = missed + 1 end
  end
end

-- A script may grow memory in a full Redis once it has written anything: what must go on then begins with this.
local function allow_when_full()
  call('DEL', p .. 'i:')
end

-- Messages that were returned unstarted are kept by slot kind: kind `a` (async), `b` (blocking), in the order of `SlotKind`
-- in core. The lists of a kind are `r` .. kind .. priority and, of suspects, `s` .. kind; field `k` .. kind of `i` has a bit
-- for each priority whose list may hold messages, and bit 10 for suspects. Queues without kept messages have no such field.
local KINDS = { 'a', 'b' }
local SUSPECTS = 1024
