-- ARGV: batch, holder, lease_ms, retention_ms, worker, JSON list of writes, one for an id:
--   { id, to = stage that follows, place = 'due' | 'back' | 'held' | 'done' | 'quarantine' | 'same', in_ms, reason,
--     set = { field: value }, count = { counter: n }, event, detail, answer = the vendor's, trip = { after, first_ms, longest_ms, reason, lasting_ms } }
--   due: wait in_ms; back: due now, as if it had not been started; held: go on in the same batch; same: stay as it is, under the same holder
-- The fence: a write for a verification that this batch does not hold at this stage changes nothing.
-- Returns for each write: 0 it was not made, 1 it was, 2 it was and closed the breaker; where the region rests because of
-- it, until when.
local batch, holder, lease, retention, worker = ARGV[1], ARGV[2], tonumber(ARGV[3]), tonumber(ARGV[4]), ARGV[5]
local now = now_ms()
local answer = {}

-- Scores and ids for one ZADD: a command has its price, and a batch many verifications.
local leases = {}

local function lease_anew(id)
  leases[#leases + 1] = digits(now + lease)
  leases[#leases + 1] = id
end

local function store(verification, fields)
  local flat = {}
  for name, value in pairs(fields) do
    flat[#flat + 1] = name
    flat[#flat + 1] = value
  end
  if #flat > 0 then
    redis.call('HSET', verification, unpack(flat))
  end
end

-- Where a verification is after a write. Its fields, `write.set`, are stored before.
local place = {}

function place.same(write)
  lease_anew(write.id)
end

function place.held(write)
  redis.call('HDEL', key('v:' .. write.id), Field.STARTS)
  lease_anew(write.id)
end

function place.due(write)
  redis.call('ZREM', key('leased'), write.id)
  redis.call('HDEL', key('v:' .. write.id), Field.HOLDER, Field.STARTS)
  make_due(write.id, write.to, now + write.in_ms, now)
end

function place.back(write)
  redis.call('ZREM', key('leased'), write.id)
  redis.call('HDEL', key('v:' .. write.id), Field.HOLDER)
  if redis.call('HINCRBY', key('v:' .. write.id), Field.STARTS, -1) <= 0 then
    redis.call('HDEL', key('v:' .. write.id), Field.STARTS)
  end
  make_due(write.id, write.to, now, now)
end

function place.done(write)
  redis.call('ZREM', key('leased'), write.id)
  finish(write.id, retention)
end

function place.quarantine(write)
  redis.call('ZREM', key('leased'), write.id)
  quarantine(write.id, write.reason, now, worker)
end

-- The breaker. What trips it says after how many verifications in a row, over what time at least, and for how long the
-- region is on hold then: longer each time, until the probe is answered. Returns until when the region is on hold because
-- of it, or 1.
local function trip(id, by)
  local resting = hold_until(now)
  if resting > 0 then
    -- Begun before the rest: it says nothing new, unless it asks for a longer one.
    local ends = by.after == 1 and hold(by.first_ms, by.reason, now) or resting
    return ends > resting and ends or 1
  end
  redis.call('SADD', key('failing'), by.reason)
  redis.call('HSETNX', key('failing_since'), by.reason, digits(now))
  redis.call('SADD', key('failing:' .. by.reason), id)
  local trips = tonumber(redis.call('HGET', key('health'), 'trips')) or 0
  if trips == 0 then
    local lasts = now - tonumber(redis.call('HGET', key('failing_since'), by.reason))
    if lasts < by.lasting_ms or redis.call('SCARD', key('failing:' .. by.reason)) < by.after then
      return 1
    end
  end
  redis.call('HSET', key('health'), 'trips', trips + 1, 'reason', by.reason)
  redis.call('HDEL', key('health'), 'probe', 'by')
  return hold(math.min(by.longest_ms, by.first_ms * 2 ^ trips), by.reason, now)
end

-- Nothing has failed since the vendor last answered, as far as this call knows.
local sound = false

local function answered()
  -- What was asked before a rest says nothing of the vendor now.
  if not sound and hold_until(now) == 0 then
    forget_failures()
    local closed = redis.call('DEL', key('health')) == 1
    if closed then
      wake()
    end
    sound = true
    return closed
  end
end

-- The one that tries the vendor: asked for once, not for each of a batch.
local probe = redis.call('HGET', key('health'), 'by')

-- Writes of a batch count mostly the same: each counter is changed once.
local counted = {}

for number, write in ipairs(cjson.decode(ARGV[6])) do
  local verification = key('v:' .. write.id)
  local seen = redis.call('HMGET', verification, Field.HOLDER, Field.STARTS)
  if seen[1] ~= holder then
    answer[number] = 0
  else
    local fields = write.set
    if write.place == 'held' or write.place == 'due' then
      fields[Field.STAGE] = write.to
    end
    if write.place == 'held' then
      fields[Field.HOLDER] = batch
    end
    if write.event == 'settled' or write.event == 'settled_late' then
      fields[Field.SETTLED_AT] = digits(now)
    end
    store(verification, fields)
    answer[number] = 1
    if write.trip then
      sound = false
      answer[number] = trip(write.id, write.trip)
    elseif write.answer and answered() then
      answer[number] = 2
    end
    for counter, by in pairs(write.count) do
      counted[counter] = (counted[counter] or 0) + by
    end
    if write.event then
      note(write.id, now, write.event, write.detail, worker)
    end
    place[write.place](write)
    if write.id == probe and write.place ~= 'same' then
      end_probe(write.id)
    end
    if (tonumber(seen[2]) or 0) > SUSPECT then
      local after = write.place == 'same' and still_suspect or no_longer_suspect
      after(write.id, lease)
    end
  end
end
if #leases > 0 then
  redis.call('ZADD', key('leased'), unpack(leases))
end
for counter, by in pairs(counted) do
  redis.call('HINCRBY', key('counts'), counter, by)
end
return answer
