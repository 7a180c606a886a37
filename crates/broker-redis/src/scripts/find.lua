-- Finds a live message.
-- KEYS 1 prefix
-- ARGV 1 id
-- Returns what `look` answers, or nil
local id = ARGV[1]
if call('HEXISTS', p .. 'm', id) == 0 then return false end
local due = call('ZSCORE', p .. 'd', id)
if due then return look(id, 'delayed', due) end
local died = call('ZSCORE', p .. 'k', id)
if died then return look(id, 'dead', died) end
local token, ends = reservation_of(id)
if token then return look(id, 'leased', ends) end
return look(id, 'ready')
