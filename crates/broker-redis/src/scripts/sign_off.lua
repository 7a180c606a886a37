-- Removes a worker from the registry.
-- KEYS 1 prefix of the registry
-- ARGV 1 id
-- Returns nothing
call('ZREM', p .. 'workers', ARGV[1])
call('HDEL', p .. 'worker', ARGV[1])
call('DEL', p .. 'told:' .. ARGV[1])
return 1
