-- Stores a batch of results: new, newer, or in the place of an ended row.
-- KEYS: for each record its row (hash) and its attempts (hash of version to attempt)
-- ARGV: now in microseconds or '' for the server's clock, attempts kept, 1 in a full Redis or 0, then for each record
--       run, delivery, attempt, 1 when terminal, 1 when started, time to live in microseconds, row, attempt or ''
-- Returns a list of 1 (stored) or 0 (superseded), in the order of the records.
local now = ARGV[1]
if now == '' then
    local time = redis.call('TIME')
    now = string.format('%.0f', time[1] * 1000000 + time[2])
end
now = tonumber(now)
local keep = tonumber(ARGV[2])

local function is_newer(old, new, started)
    if new[1] ~= tonumber(old[1]) then
        return new[1] > tonumber(old[1])
    end
    if old[4] == '1' then
        return false
    end
    for n = 2, 3 do
        if new[n] ~= tonumber(old[n]) then
            return new[n] > tonumber(old[n])
        end
    end
    return old[5] == '1' and started == '0'
end

-- Once per version: a batch that is recorded again, because its answer was lost, adds nothing.
local function remember(attempts, new, attempt)
    -- Ten digits, so that the order of the texts is the order of the versions.
    redis.call('HSETNX', attempts, string.format('%010.0f.%010.0f.%010.0f', new[1], new[2], new[3]), attempt)
    local surplus = redis.call('HLEN', attempts) - keep
    if surplus > 0 then
        local versions = redis.call('HKEYS', attempts)
        table.sort(versions)
        redis.call('HDEL', attempts, unpack(versions, 1, surplus))
    end
end

-- A script whose first write frees memory is not refused by a full Redis.
if ARGV[3] == '1' then
    redis.call('HDEL', KEYS[1], '')
end

local answers = {}
for i = 1, #KEYS / 2 do
    local row, attempts, at = KEYS[2 * i - 1], KEYS[2 * i], 3 + (i - 1) * 8
    local new = { tonumber(ARGV[at + 1]), tonumber(ARGV[at + 2]), tonumber(ARGV[at + 3]) }
    local terminal, started, ttl = ARGV[at + 4], ARGV[at + 5], tonumber(ARGV[at + 6])
    local old = redis.call('HMGET', row, 'run', 'delivery', 'attempt', 'terminal', 'started', 'until')
    local stands = old[1] and tonumber(old[6]) > now
    -- Only where there are some: after a first write, whichever, a full Redis would not refuse the next ones.
    if old[1] and not stands then
        redis.call('DEL', attempts)
    end
    local stored = not stands or is_newer(old, new, started)
    if stored then
        redis.call('HSET', row, 'run', new[1], 'delivery', new[2], 'attempt', new[3], 'terminal', terminal,
            'started', started, 'until', string.format('%.0f', now + ttl), 'record', ARGV[at + 7])
        -- Redis removes a row some time after its end; what is answered is judged by the stored instant.
        redis.call('PEXPIRE', row, string.format('%.0f', math.ceil(ttl / 1000) + 60000))
    end
    if ARGV[at + 8] ~= '' then
        remember(attempts, new, ARGV[at + 8])
    end
    -- The attempts end with their row, whichever record it stands for.
    redis.call('PEXPIRE', attempts, redis.call('PTTL', row))
    answers[i] = stored and 1 or 0
end
return answers
