-- Stores a batch of results: new, newer, or in the place of an ended row.
-- KEYS: for each record its row (hash) and its attempts (list)
-- ARGV: now in microseconds or '' for the server's clock, attempts kept, then for each record
--       run, delivery, attempt, 1 when terminal, 1 when started, time to live in microseconds, row, attempt or ''
-- Returns a list of 1 (stored) or 0 (superseded), in the order of the records.
local now = ARGV[1]
if now == '' then
    local time = redis.call('TIME')
    now = string.format('%.0f', time[1] * 1000000 + time[2])
end
now = tonumber(now)
local keep = tonumber(ARGV[2])
local answers = {}
for i = 1, #KEYS / 2 do
    local row, attempts, at = KEYS[2 * i - 1], KEYS[2 * i], 2 + (i - 1) * 8
    local new = { tonumber(ARGV[at + 1]), tonumber(ARGV[at + 2]), tonumber(ARGV[at + 3]) }
    local terminal, started, ttl = ARGV[at + 4], ARGV[at + 5], tonumber(ARGV[at + 6])
    local old = redis.call('HMGET', row, 'run', 'delivery', 'attempt', 'terminal', 'started', 'until')
    local stored = true
    if old[1] and tonumber(old[6]) > now then
        local order = 0
        for n = 1, 3 do
            if order == 0 then
                order = new[n] - tonumber(old[n])
            end
        end
        if new[1] <= tonumber(old[1]) then
            stored = old[4] == '0' and (order > 0 or (order == 0 and old[5] == '1' and started == '0'))
        end
    elseif old[1] then
        redis.call('DEL', attempts)
    end
    -- Redis removes a row some time after its end; what is answered is judged by the stored instant.
    local garbage = math.ceil(ttl / 1000) + 60000
    if stored then
        redis.call('HSET', row, 'run', new[1], 'delivery', new[2], 'attempt', new[3], 'terminal', terminal,
            'started', started, 'until', string.format('%.0f', now + ttl), 'record', ARGV[at + 7])
        redis.call('PEXPIRE', row, string.format('%.0f', garbage))
    end
    -- Once: a batch that is recorded again, because its answer was lost, adds nothing.
    if ARGV[at + 8] ~= '' and not redis.call('LPOS', attempts, ARGV[at + 8]) then
        redis.call('RPUSH', attempts, ARGV[at + 8])
        redis.call('LTRIM', attempts, -keep, -1)
        redis.call('PEXPIRE', attempts, string.format('%.0f', garbage))
    end
    answers[i] = stored and 1 or 0
end
return answers
