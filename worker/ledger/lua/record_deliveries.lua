-- ARGV: holder, endpoint, retention_ms, worker, most tries, pause_ms, most in flight, JSON list of outcomes, one for an id:
--   { id, is = 'acknowledged' | 'failed' | 'back' | 'forged', fault, in_ms, hold_ms (the endpoint asks for it, or 0), first_hold_ms,
--     longest_hold_ms, after, answer = 'HTTP_204' of an acknowledgement, if it is known, slow = the endpoint has too much to do, gone = it wants no more },
--   JSON object of events about its pause, by the reason of the pause
-- The fence: an outcome of a delivery that the holder does not hold changes nothing.
-- Returns for each: 0 nothing was written; 1 it was; 2 its tries are used up; 3 the endpoint is paused now;
--   4 the endpoint answers again
local holder, endpoint, retention, worker = ARGV[1], ARGV[2], tonumber(ARGV[3]), ARGV[4]
local most_tries, pause, full = tonumber(ARGV[5]), tonumber(ARGV[6]), tonumber(ARGV[7])
local now = now_before_writes()
local name = key('endpoint:' .. endpoint)
local due, leased = key('due:webhook:' .. endpoint), key('leased:webhook:' .. endpoint)
local answer = {}

-- How often an endpoint is slowed at most, how many answers of it are kept, and how many old deliveries one call removes.
local SLOWED_EVERY = 1000
local MOST_ANSWERS = 20
local REMOVED_AT_ONCE = 100

local function number(field)
  return number_of(redis.call('HGET', name, field)) or 0
end

local function count(word)
  add_to('webhook:' .. word .. ':' .. endpoint, 1)
end

-- The endpoint works: it gets one more at a time for each success, until it has all.
local function succeeded()
  local state = redis.call('HMGET', name, 'window', 'failures', 'trips')
  if state[1] then
    if (window_of(state[1]) or full) + 1 >= full then
      redis.call('HDEL', name, 'window')
    else
      increased(name, 'window', 1)
    end
  end
  redis.call('HSET', name, 'success', digits(now))
  if state[2] then
    redis.call('HDEL', name, 'failures', 'failing', 'trips', 'worst', 'held')
    return state[3]
  end
end

local function pause_it(why)
  redis.call('HSET', name, 'paused', digits(now), 'why', why, 'who', '')
  count('paused')
  add_deliveries('', cjson.decode(ARGV[9])[why] or {}, now)
end

local function hold_until_at_least(ends)
  if ends > number('held') then
    redis.call('HSET', name, 'held', digits(ends))
  end
end

-- A failure of the endpoint, whatever the delivery. Returns whether it was paused for it.
local function failed(outcome, tries, first)
  local before = number('held')
  local failures = increased(name, 'failures', 1)
  redis.call('HSETNX', name, 'failing', digits(now))
  if tries > number('worst') then
    redis.call('HSET', name, 'worst', tries)
  end
  if outcome.slow and now - number('slowed') >= SLOWED_EVERY then
    local window = window_of(redis.call('HGET', name, 'window')) or redis.call('ZCARD', leased) + 1
    redis.call('HSET', name, 'window', digits(math.max(1, math.floor(window / 2))), 'slowed', digits(now))
  end
  if outcome.hold_ms > 0 then
    hold_until_at_least(now + outcome.hold_ms)
  end
  if failures >= outcome.after and before <= now then
    -- Nothing arrives: from now on one delivery at a time, and ever fewer.
    local trips = increased(name, 'trips', 1)
    hold_until_at_least(now + math.min(outcome.longest_hold_ms, outcome.first_hold_ms * 2 ^ (trips - 1)))
    redis.call('HSET', name, 'window', 1)
  end
  if redis.call('HGET', name, 'paused') then
    return false
  end
  local for_long = failures >= outcome.after and now - number('failing') >= pause
  if outcome.gone then
    pause_it('GONE')
    return true
  end
  if for_long or (tries >= most_tries and number('success') < first) then
    pause_it('FAILING')
    return true
  end
end

local outcomes = {}

function outcomes.back(outcome, delivery)
  if increased(delivery, 'starts', -1) <= 0 then
    redis.call('HDEL', delivery, 'starts')
  end
  make_delivery_due(outcome.id, endpoint, now + outcome.in_ms, now)
  return 1
end

function outcomes.acknowledged(outcome, delivery, about)
  redis.call('HDEL', delivery, 'starts', 'fault')
  increased(delivery, 'tries', 1)
  redis.call('HSETNX', delivery, 'first', digits(now))
  redis.call('HSET', delivery, 'state', 'acknowledged', 'acknowledged', digits(now), 'last', digits(now))
  redis.call('PEXPIRE', delivery, digits(retention))
  redis.call('ZADD', key('acknowledged:webhook:' .. endpoint), digits(now), outcome.id)
  count('acknowledged')
  if about ~= '' and redis.call('HGET', delivery, 'type') == 'verification.decided' then
    if redis.call('EXISTS', key('v:' .. about)) == 1 then
      note(about, now, 'acknowledged', endpoint, worker)
    end
    acknowledge(about, endpoint, retention)
  end
  return succeeded() and 4 or 1
end

-- No worker made its body. A person may look at it; the endpoint has nothing to do with it.
function outcomes.forged(outcome, delivery, about)
  fail_delivery(outcome.id, endpoint, about, outcome.fault, now)
  return 2
end

function outcomes.failed(outcome, delivery, about)
  redis.call('HDEL', delivery, 'starts')
  local tries = increased(delivery, 'tries', 1)
  redis.call('HSETNX', delivery, 'first', digits(now))
  redis.call('HSET', delivery, 'fault', outcome.fault, 'last', digits(now))
  count('failed')
  add_to('webhook_fault:' .. outcome.fault, 1)
  local first = number_of(redis.call('HGET', delivery, 'first')) or now
  local paused_now = failed(outcome, tries, first)
  if tries >= most_tries and not redis.call('HGET', name, 'paused') then
    -- The endpoint takes others: it is this delivery that it does not take.
    fail_delivery(outcome.id, endpoint, about, outcome.fault, now)
    return 2
  end
  make_delivery_due(outcome.id, endpoint, now + outcome.in_ms, now)
  return paused_now and 3 or 1
end

local answers = {}
for at, outcome in ipairs(cjson.decode(ARGV[8])) do
  local delivery = key('webhook:' .. outcome.id)
  local seen = fields_of(delivery, 'holder', 'about')
  if not seen or seen[1] ~= holder then
    answer[at] = 0
  else
    redis.call('ZREM', leased, outcome.id)
    redis.call('HDEL', delivery, 'holder')
    answer[at] = outcomes[outcome.is](outcome, delivery, seen[2])
    local said = ({ acknowledged = outcome.answer, failed = outcome.fault })[outcome.is]
    if said then
      answers[#answers + 1] = digits(now) .. '|' .. said
    end
  end
end

if #answers > 0 then
  redis.call('RPUSH', key('answers:webhook:' .. endpoint), unpack(answers))
  redis.call('LTRIM', key('answers:webhook:' .. endpoint), -MOST_ANSWERS, -1)
end

local acknowledged = key('acknowledged:webhook:' .. endpoint)
local old = redis.call('ZRANGEBYSCORE', acknowledged, '-inf', digits(now - retention), 'LIMIT', 0, REMOVED_AT_ONCE)
if #old > 0 then
  redis.call('ZREM', acknowledged, unpack(old))
end
-- A place is free now.
if redis.call('ZCOUNT', due, '-inf', digits(now)) > 0 then
  wake()
end
return answer
