-- Reads results.
-- KEYS: the rows (hashes)
-- ARGV: now in microseconds or '' for the server's clock
-- Returns for each row its record, or '' when there is none or its time has ended.
local now = ARGV[1]
if now == '' then
    local time = redis.call('TIME')
    now = string.format('%.0f', time[1] * 1000000 + time[2])
end
now = tonumber(now)
local answers = {}
for i, row in ipairs(KEYS) do
    local found = redis.call('HMGET', row, 'until', 'record')
    answers[i] = (found[1] and tonumber(found[1]) > now) and found[2] or ''
end
return answers
