-- Makes a delayed message ready now.
-- KEYS 1 prefix
-- ARGV 1 id
-- Returns 1 when there was one
if call('ZREM', p .. 'd', ARGV[1]) == 0 then return 0 end
make_ready('RPUSH', { ARGV[1] })
wake_for(true)
return 1
