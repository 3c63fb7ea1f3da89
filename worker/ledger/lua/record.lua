-- ARGV: batch, stage, lease_ms, retention_ms, worker, JSON list of writes:
--   { id, to = stage that follows, place = 'due' | 'back' | 'held' | 'done' | 'quarantine' | 'same', in_ms, reason,
--     set = { field: value }, count = { counter: n }, event, detail, answer = the vendor's, trip = { after, first_ms, longest_ms, reason } }
--   due: wait in_ms; back: due now, as if it had not been started; held: go on in the same batch; same: stay as it is, under the same holder
-- The fence: a write for a verification that this batch does not hold at this stage changes nothing.
-- Returns for each write: 0 it was not made, 1 it was; where the region rests because of it, until when.
local batch, stage, lease, retention, worker = ARGV[1], ARGV[2], tonumber(ARGV[3]), tonumber(ARGV[4]), ARGV[5]
local holder = batch .. '/' .. stage
local now = now_ms()
local answer = {}

local place = {}

function place.same(write)
  redis.call('ZADD', key('leased'), digits(now + lease), write.id)
end

function place.held(write)
  redis.call('HSET', key('v:' .. write.id), 's', write.to, 'b', batch)
  redis.call('HDEL', key('v:' .. write.id), 'c')
  redis.call('ZADD', key('leased'), digits(now + lease), write.id)
end

function place.due(write)
  redis.call('ZREM', key('leased'), write.id)
  redis.call('HDEL', key('v:' .. write.id), 'b', 'c')
  redis.call('HSET', key('v:' .. write.id), 's', write.to)
  make_due(write.id, write.to, now + write.in_ms, now)
end

function place.back(write)
  redis.call('ZREM', key('leased'), write.id)
  redis.call('HDEL', key('v:' .. write.id), 'b')
  if redis.call('HINCRBY', key('v:' .. write.id), 'c', -1) <= 0 then
    redis.call('HDEL', key('v:' .. write.id), 'c')
  end
  make_due(write.id, write.to, now, now)
end

function place.done(write)
  redis.call('ZREM', key('leased'), write.id)
  redis.call('HDEL', key('v:' .. write.id), 'b', 'c', 'x')
  redis.call('HSET', key('v:' .. write.id), 's', 'done')
  redis.call('HINCRBY', key('counts'), 'done', 1)
  redis.call('PEXPIRE', key('v:' .. write.id), digits(retention))
end

function place.quarantine(write)
  redis.call('ZREM', key('leased'), write.id)
  quarantine(write.id, write.reason, now, worker)
end

-- The breaker. What trips it says after how many verifications in a row, and for how long the region rests then: longer
-- each time, until one that tries the vendor alone is answered. Returns until when the region rests because of it, or 1.
local function trip(id, by)
  if hold_until(now) > 0 then
    if by.after == 1 then
      hold(by.first_ms, by.reason, now)
    end
    return 1 -- begun before the rest: it says nothing new
  end
  redis.call('SADD', key('failing'), by.reason)
  redis.call('SADD', key('failing:' .. by.reason), id)
  local trips = tonumber(redis.call('HGET', key('health'), 'trips')) or 0
  if trips == 0 and redis.call('SCARD', key('failing:' .. by.reason)) < by.after then
    return 1
  end
  redis.call('HSET', key('health'), 'trips', trips + 1)
  redis.call('HDEL', key('health'), 'probe')
  return hold(math.min(by.longest_ms, by.first_ms * 2 ^ trips), by.reason, now)
end

local function answered()
  forget_failures()
  if redis.call('DEL', key('health')) == 1 then
    wake()
  end
end

-- Writes of a batch count mostly the same: each counter is changed once.
local counted = {}

for number, write in ipairs(cjson.decode(ARGV[6])) do
  local verification = key('v:' .. write.id)
  if redis.call('HGET', verification, 'b') ~= holder then
    answer[number] = 0
  else
    for name, value in pairs(write.set) do
      redis.call('HSET', verification, name, value)
    end
    answer[number] = 1
    if write.trip then
      answer[number] = trip(write.id, write.trip)
    elseif write.answer then
      answered()
    end
    for counter, by in pairs(write.count) do
      counted[counter] = (counted[counter] or 0) + by
    end
    if write.event == 'settled' or write.event == 'settled_late' then
      redis.call('HSET', verification, 'z', digits(now))
    end
    if write.event then
      note(write.id, now, write.event, write.detail, worker)
    end
    place[write.place](write)
    if write.place == 'done' then
      redis.call('PEXPIRE', key('t:' .. write.id), digits(retention))
    end
  end
end
for counter, by in pairs(counted) do
  redis.call('HINCRBY', key('counts'), counter, by)
end
return answer
