-- Limits how many are handed out in a time, or lifts that. A new limit begins with all tokens.
-- KEYS 1 prefix
-- ARGV 1 the limit as it is written, or '' for none; 2 microseconds in which a token comes back; 3 how many there may be
-- Returns 1
allow_when_full()
call('HDEL', p .. 'i', 'rate', 'gap', 'burst', 'spent', 'empty')
if ARGV[1] ~= '' then call('HSET', p .. 'i', 'rate', ARGV[1], 'gap', ARGV[2], 'burst', ARGV[3]) end
if call('HEXISTS', p .. 'i', 'paused') == 0 then wake(1) end
return 1
