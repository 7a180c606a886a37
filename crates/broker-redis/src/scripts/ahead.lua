-- How many messages are handed out before a ready one. Each list is searched 100,000 deep from both ends; between them
-- the middle is answered.
-- KEYS 1 prefix
-- ARGV 1 id
-- Returns the count, or nil when it is not ready
local id = ARGV[1]
local record = call('HGET', p .. 'm', id)
if not record or call('ZSCORE', p .. 'd', id) or call('ZSCORE', p .. 'k', id) then return false end
local suspect = call('LPOS', p .. 's', id, 'MAXLEN', 100000)
if suspect then return suspect end
local priority = record:byte(1) or 0
if priority > 9 then priority = 0 end
local list = p .. 'r' .. priority
local before = call('LPOS', list, id, 'MAXLEN', 100000) or call('LPOS', list, id, 'RANK', -1, 'MAXLEN', 100000)
if not before then
  local length = call('LLEN', list)
  if length <= 200000 or reservation_of(id) then return false end
  before = math.floor(length / 2)
end
before = before + call('LLEN', p .. 's')
for higher = priority + 1, 9 do before = before + call('LLEN', p .. 'r' .. higher) end
return before
