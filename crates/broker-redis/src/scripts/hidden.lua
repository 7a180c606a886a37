-- What tasks hide.
-- KEYS 1 prefix of the registry
-- ARGV none
-- Returns for each task that hides something: its name, JSON
return call('HGETALL', p .. 'hidden')
