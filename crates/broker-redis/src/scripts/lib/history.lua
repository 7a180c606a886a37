-- What is known of a message beside its record: hash `a`, only for messages that were handed out before.
-- Run, hand-outs ended, failed attempts, leases lost in a row: 4 bytes each; refused since: 8 bytes; then the notes,
-- each with 4 bytes of length. All big endian.
local HISTORY = '>I4I4I4I4I8'

local function read_history(id)
  local raw = call('HGET', p .. 'a', id)
  if not raw or #raw < 24 then
    return { run = 1, deliveries = 0, attempts = 0, losses = 0, refused = 0, notes = '' }
  end
  local run, deliveries, attempts, losses, refused = struct.unpack(HISTORY, raw)
  return {
    run = run, deliveries = deliveries, attempts = attempts, losses = losses, refused = refused,
    notes = raw:sub(25),
  }
end

local function write_history(id, h)
  local head = struct.pack(HISTORY, h.run, h.deliveries, h.attempts, h.losses, h.refused)
  call('HSET', p .. 'a', id, head .. h.notes)
end

-- Adds a note and keeps the newest `keep`.
local function add_note(h, note, keep)
  local starts, at = {}, 1
  local notes = h.notes .. struct.pack('>I4', #note) .. note
  while at + 3 <= #notes do
    starts[#starts + 1] = at
    at = at + 4 + struct.unpack('>I4', notes, at)
  end
  if #starts > keep then notes = notes:sub(starts[#starts - keep + 1]) end
  h.notes = notes
end
