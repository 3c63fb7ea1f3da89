-- ARGV: batch, holder, lease_ms, retention_ms, worker, JSON list of writes, logs = '1' if the log of evidence is kept,
--   JSON list of events that are added if a write closes the breaker.
-- A write for an id:
--   { id, to = stage that follows, place = 'due' | 'back' | 'held' | 'done' | 'quarantine' | 'erased' | 'same', in_ms, reason,
--     set = { field: value }, count = { counter: n }, event, detail, answer = kind of the vendor's answer,
--     deliveries = those of a first decision: { { id, endpoint, type, body }, … }, events = likewise, always added,
--     trip = { after, first_ms, longest_ms, reason, lasting_ms }, held = events, added if it puts the region on hold }
--   due: wait in_ms; back: due now, as if it had not been started; held: continue in the same batch;
--   same: stay as it is, under the same holder
-- The fence: a write for a verification that this batch does not hold at this stage changes nothing.
-- Returns for each write: 0 it was not made; 1 it was made; 2 it was made and closed the breaker; if it put the region on
-- hold, when the hold ends.
local batch, holder, lease, retention, worker = ARGV[1], ARGV[2], tonumber(ARGV[3]), tonumber(ARGV[4]), ARGV[5]
local now = now_before_writes(WRITTEN_BY_STATES)
local answer = {}

-- Scores and ids for one ZADD, because one command for each verification of a batch costs more; likewise ids for one ZREM,
-- and scores and ids by due set.
local leases, unleased, due = {}, {}, {}
-- The earliest of those scores.
local soonest = math.huge

local function renew_lease(id)
  leases[#leases + 1] = digits(now + lease)
  leases[#leases + 1] = id
end

-- A field without a value is removed.
local function store(verification, fields)
  local flat, empty = {}, {}
  for name, value in pairs(fields) do
    if value == '' then
      empty[#empty + 1] = name
    else
      flat[#flat + 1] = name
      flat[#flat + 1] = value
    end
  end
  if #flat > 0 then
    redis.call('HSET', verification, unpack(flat))
  end
  if #empty > 0 then
    redis.call('HDEL', verification, unpack(empty))
  end
end

-- By the write's `place`: moves a verification of `pipeline` (false: the default one). Its fields, `write.set`, are stored before.
local place = {}

function place.same(write)
  renew_lease(write.id)
end

function place.held(write)
  renew_lease(write.id)
end

local function due_at_end(id, set, at)
  unleased[#unleased + 1] = id
  local members = due[set] or {}
  due[set] = members
  members[#members + 1] = digits(at)
  members[#members + 1] = id
  soonest = math.min(soonest, at)
end

function place.due(write, pipeline)
  due_at_end(write.id, joined_set(write.to, pipeline), now + (write.nudged and 0 or write.in_ms))
end

function place.back(write, pipeline)
  redis.call('HDEL', key('v:' .. write.id), Field.HOLDER)
  if increased(key('v:' .. write.id), Field.STARTS, -1) <= 0 then
    redis.call('HDEL', key('v:' .. write.id), Field.STARTS)
  end
  due_at_end(write.id, joined_set(write.to, pipeline), now)
end

function place.done(write)
  unleased[#unleased + 1] = write.id
  finish(write.id, retention, write.waits and now)
  if ARGV[7] == '1' then
    queue_for_log(write.id, now)
  end
end

function place.quarantine(write)
  redis.call('ZREM', key('leased'), write.id)
  quarantine(write.id, write.reason, now, worker)
end

-- The evidence store says that it was erased, and this ledger did not know.
function place.erased(write)
  erase(write.id, {}, now)
  expire(write.id, retention)
end

-- The circuit breaker. `by` has the number of verifications in a row and the time that it takes to trip, and the length of
-- the hold that follows: longer each time, until a probe is answered. Returns when the hold ends that `id` caused, or 1.
local function trip(id, by)
  local held_until = hold_until(now)
  if held_until > 0 then
    -- A call from before the hold gives no new information, unless it asks for a longer hold.
    local ends = by.after == 1 and hold(by.first_ms, by.reason, now) or held_until
    return ends > held_until and ends or 1
  end
  redis.call('SADD', key('failing'), by.reason)
  redis.call('HSETNX', key('failing_since'), by.reason, digits(now))
  redis.call('SADD', key('failing:' .. by.reason), id)
  local trips = number_of(redis.call('HGET', key('health'), 'trips')) or 0
  if trips == 0 then
    local lasts = now - (number_of(redis.call('HGET', key('failing_since'), by.reason)) or now)
    if lasts < by.lasting_ms or redis.call('SCARD', key('failing:' .. by.reason)) < by.after then
      return 1
    end
  end
  redis.call('HSET', key('health'), 'trips', trips + 1, 'reason', by.reason)
  redis.call('HDEL', key('health'), 'probe', 'by')
  return hold(math.min(by.longest_ms, by.first_ms * 2 ^ trips), by.reason, now)
end

-- Whether an earlier write of this call was an answer and no failure followed: then there is no failure left to forget.
local forgotten = false

local function answered()
  -- An answer to a call from before the hold shows nothing about the vendor now.
  if not forgotten and hold_until(now) == 0 then
    forget_failures()
    local closed = redis.call('DEL', key('health')) == 1
    if closed then
      wake()
    end
    forgotten = true
    return closed
  end
end

-- How many old decisions one call removes from the feed: after a long pause they are many, and Redis must not be blocked.
local REMOVED_AT_ONCE = 1000

-- Put new decisions into the feed. Positions only grow, whatever the clock does: a reader at a position has seen everything
-- before it.
local function publish(ids)
  local feed = key('feed')
  local position = math.max(now * 1000, (newest_position() or 0) + 1)
  local flat = {}
  for number, id in ipairs(ids) do
    flat[2 * number - 1], flat[2 * number] = digits(position + number - 1), id
  end
  redis.call('ZADD', feed, unpack(flat))
  local horizon = (now - retention) * 1000
  if tonumber(redis.call('ZRANGE', feed, 0, 0, 'WITHSCORES')[2]) < horizon then
    local old = math.min(redis.call('ZCOUNT', feed, '-inf', digits(horizon)), REMOVED_AT_ONCE)
    local gone = digits(tonumber(redis.call('ZRANGE', feed, old - 1, old - 1, 'WITHSCORES')[2]))
    redis.call('SET', key('feed:gone'), gone)
    redis.call('ZREMRANGEBYSCORE', feed, '-inf', gone)
  end
end

-- The verification that probes the vendor: read once, not for each write.
local probe = redis.call('HGET', key('health'), 'by')

-- The most error codes that have a counter each: the vendor invents them, and each claim of a minute copies all counters.
local MOST_CODES = 500

-- Count a result's error code, or `OTHER` if there are too many.
local function count_code(counter, by)
  if increased(key('counts'), counter, by) > by or increased(key('counts'), 'error_codes', 1) <= MOST_CODES then
    return
  end
  redis.call('HDEL', key('counts'), counter)
  add_to('error_code:OTHER', by)
end

-- Writes of a batch mostly change the same counters, so each counter is changed once.
local counted = {}

-- Ids of the verifications that have a decision now and had none before.
local decided = {}

local writes = cjson.decode(ARGV[6])
read_for_deliveries(cjson.decode(ARGV[8]))
for _, write in ipairs(writes) do
  for _, deliveries in ipairs({ write.deliveries or {}, write.events or {}, write.held or {} }) do
    read_for_deliveries(deliveries)
  end
  if write.trip then
    read_each({ HGET = { 'failing_since' }, SCARD = { 'failing:' .. write.trip.reason } })
  end
end

for number, write in ipairs(writes) do
  local verification = key('v:' .. write.id)
  local seen = fields_of(
    verification, Field.HOLDER, Field.STARTS, Field.NUDGED, Field.DELIVERIES, Field.PIPELINE, Field.DECISION_NAME
  ) or {}
  if seen[1] ~= holder then
    answer[number] = 0
  else
    local fields = write.set
    -- Only what the vendor answered: after a fault the countdown spares it.
    write.waits = seen[4]
    write.nudged = seen[3] and write.answer == 'pending' and write.to == 'polling'
    if write.place == 'held' or write.place == 'due' then
      fields[Field.STAGE] = write.to
      fields[Field.HOLDER] = write.place == 'held' and batch or ''
      fields[Field.STARTS], fields[Field.NUDGED] = '', ''
    end
    if write.event == 'settled' or write.event == 'settled_late' then
      fields[Field.SETTLED_AT] = digits(now)
    end
    if (fields[Field.DECISION] or '') ~= '' and not seen[6] then
      decided[#decided + 1] = write.id
      if write.deliveries then
        fields[Field.DELIVERIES] = add_deliveries(write.id, write.deliveries, now)
      end
    end
    store(verification, fields)
    if write.events then
      add_deliveries(write.id, write.events, now)
    end
    answer[number] = 1
    if write.trip then
      forgotten = false
      answer[number] = trip(write.id, write.trip)
      if answer[number] > 1 then
        announce_hold(write.held or {}, answer[number], now)
      end
    elseif write.answer and answered() then
      answer[number] = 2
      add_deliveries('', cjson.decode(ARGV[8]), now)
    end
    for counter, by in pairs(write.count) do
      counted[counter] = (counted[counter] or 0) + by
    end
    if write.event then
      note(write.id, now, write.event, write.detail, worker)
    end
    place[write.place](write, seen[5])
    if write.id == probe and write.place ~= 'same' then
      end_probe(write.id)
    end
    if (number_of(seen[2]) or 0) > SUSPECT then
      local after = write.place == 'same' and still_suspect or no_longer_suspect
      after(write.id, lease)
    end
  end
end
if #unleased > 0 then
  redis.call('ZREM', key('leased'), unpack(unleased))
end
for set, members in pairs(due) do
  redis.call('ZADD', set, unpack(members))
end
if soonest < math.huge then
  wake_by(soonest, now)
end
if #leases > 0 then
  redis.call('ZADD', key('leased'), unpack(leases))
end
if #decided > 0 then
  publish(decided)
end
for counter, by in pairs(counted) do
  if string.sub(counter, 1, 11) == 'error_code:' then
    count_code(counter, by)
  else
    add_to(counter, by)
  end
end
return answer
