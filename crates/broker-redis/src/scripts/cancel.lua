-- Marks a message as revoked.
-- KEYS 1 prefix
-- ARGV 1 id
-- Returns 'none', 'waiting' or 'leased'
local id = ARGV[1]
if call('HEXISTS', p .. 'm', id) == 0 or call('ZSCORE', p .. 'k', id) then return 'none' end
-- A removal first: this must work in a full Redis.
local delayed = call('ZREM', p .. 'd', id) == 1
call('SADD', p .. 'x', id)
if delayed then
  make_ready('RPUSH', { id })
  wake_for(true)
  return 'waiting'
end
local token = reservation_of(id)
if not token then return 'waiting' end
local holder = call('HGET', p .. 'lc', token)
if holder then call('PUBLISH', holder:match('[^\n]*'), 'x' .. id) end
return 'leased'
