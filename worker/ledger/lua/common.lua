-- What every script of the ledger begins with.
--
-- KEYS[1] is the prefix `ekyc:{<region>}:`. One region is one hash slot, so a region may live on a Redis of its own.
-- Every time is in milliseconds of Redis's own clock.
--
--   due:<stage>     zset    id -> moment at which something must next happen; stage: polling, archiving, routing
--   leased          zset    id -> moment at which the batch that holds it loses it
--   quarantine      zset    id -> moment at which it came here
--   v:<id>          hash    the verification:
--                     s stage          e enqueued at      b holder: `batch`, once loaded `batch/stage`
--                     c starts without an outcome   p polls  n nulls in a row
--                     f faults in a row for the same cause               a that cause
--                     u 1 once the user's side is done    i transactionId of the newest answer
--                     x context        o overallResult    r errorCode      w reason without a result
--                     z settled at     k evidence complete: 1 or 0         y decision's name
--                     d the decision as delivered         q reason of the quarantine
--                     g stage before the quarantine       m moment at which a person retried it
--   t:<id>          list    timeline: `<ms>|<event>|<detail>|<worker>`; the newest MAX_EVENTS
--   counts          hash    enqueued, done, polls, answer:<kind>, decision:<name>, quarantine:<reason>, hold:<word>,
--                           evidence:<state>, took:<timing>:<bucket> (see `worker/ledger/timings.py`), token_…
--   hold            hash    until, reason, word: the reason as it is counted
--   health          hash    trips: how often the breaker has tripped since the vendor last answered;
--                           probe: until when the one verification that tries the vendor may take
--   failing         set     the reasons for which calls failed since the vendor last answered, and for each reason
--   failing:<reason> set    the ids: the breaker counts verifications, not calls
--   acts            list    what people did: `<ms>|<act>|<detail>|<who>`; the newest MAX_ACTS
--   suspect         string  the one verification under way that was started SUSPECT times without an outcome
--   tat             string  GCRA's theoretical arrival time, the region's rate
--   wake            list    a token wakes one sleeping dispatcher
--   alarm           hash    at, by: the dispatcher that promised to wake for the next due moment
--
-- An id is in exactly one of due:*, leased and quarantine until it is done or dropped; `counts` is changed in the script that
-- moves it. So enqueued = waiting + in flight + quarantined + done + dropped, always.

local MAX_EVENTS = 64
local MAX_ACTS = 1000
-- Starts without an outcome after which a verification is kept apart from others that may kill workers, too.
local SUSPECT = 4
local STAGES = { 'routing', 'archiving', 'polling' }

local function key(name)
  return KEYS[1] .. name
end

local function now_ms()
  local time = redis.call('TIME')
  return time[1] * 1000 + math.floor(time[2] / 1000)
end

-- Lua prints 1e15 for large numbers; Redis wants digits.
local function digits(number)
  return string.format('%.0f', number)
end

-- A fault that comes again and again would push the story out of a timeline that is bounded: from the third of a kind
-- on the last line counts them.
local function count_fault(timeline, now, cause, worker)
  local last = redis.call('LRANGE', timeline, -2, -1)
  local like = '^%d+|fault|' .. string.gsub(cause, '%W', '%%%0')
  if #last < 2 or not string.find(last[1], like .. '[ |]') then
    return false
  end
  local times = string.match(last[2], like .. ' x(%d+)|') or string.match(last[2], like .. '|') and 1
  if not times then
    return false
  end
  redis.call('LSET', timeline, -1, digits(now) .. '|fault|' .. cause .. ' x' .. (times + 1) .. '|' .. (worker or ''))
  return true
end

local function note(id, now, event, detail, worker)
  local timeline = key('t:' .. id)
  if event == 'fault' and count_fault(timeline, now, detail, worker) then
    return
  end
  local length = redis.call('RPUSH', timeline, digits(now) .. '|' .. event .. '|' .. (detail or '') .. '|' .. (worker or ''))
  if length > MAX_EVENTS then
    redis.call('LTRIM', timeline, -MAX_EVENTS, -1)
  end
end

local function act(now, name, detail, who)
  redis.call('RPUSH', key('acts'), digits(now) .. '|' .. name .. '|' .. detail .. '|' .. who)
  redis.call('LTRIM', key('acts'), -MAX_ACTS, -1)
end

local function wake()
  if redis.call('LLEN', key('wake')) == 0 then
    redis.call('RPUSH', key('wake'), '1')
  end
end

-- Make `id` due, and see to it that some dispatcher is awake by then.
local function make_due(id, stage, at, now)
  redis.call('ZADD', key('due:' .. stage), digits(at), id)
  local alarm = tonumber(redis.call('HGET', key('alarm'), 'at'))
  if at <= now or not alarm or at < alarm then
    wake()
  end
end

local function quarantine(id, reason, now, worker)
  redis.call('ZADD', key('quarantine'), digits(now), id)
  local stage = redis.call('HGET', key('v:' .. id), 's')
  redis.call('HSET', key('v:' .. id), 's', 'quarantined', 'g', stage, 'q', reason)
  redis.call('HDEL', key('v:' .. id), 'b', 'c')
  redis.call('HINCRBY', key('counts'), 'quarantine:' .. reason, 1)
  note(id, now, 'quarantined', reason, worker)
end

-- Nothing more will come of it: it is remembered for a while.
local function finish(id, retention)
  redis.call('HDEL', key('v:' .. id), 'b', 'c', 'x')
  redis.call('HSET', key('v:' .. id), 's', 'done')
  redis.call('HINCRBY', key('counts'), 'done', 1)
  redis.call('PEXPIRE', key('v:' .. id), digits(retention))
  redis.call('PEXPIRE', key('t:' .. id), digits(retention))
end

local function still_suspect(id, lease)
  if redis.call('GET', key('suspect')) == id then
    redis.call('PEXPIRE', key('suspect'), digits(lease))
  end
end

local function no_longer_suspect(id)
  if redis.call('GET', key('suspect')) == id then
    redis.call('DEL', key('suspect'))
  end
end

-- The region's rest, and when it ends; 0 where there is none.
local function hold_until(now)
  local ends = tonumber(redis.call('HGET', key('hold'), 'until'))
  if ends and ends > now then
    return ends
  end
  return 0
end

local function forget_failures()
  for _, reason in ipairs(redis.call('SMEMBERS', key('failing'))) do
    redis.call('DEL', key('failing:' .. reason))
  end
  redis.call('DEL', key('failing'))
end

-- Let the region rest. A rest that ends later stays. Returns the moment at which it ends. What people write as a reason
-- is counted as one word, so that the counters stay few.
local function hold(for_ms, reason, now, counted_as)
  local ends = now + for_ms
  local already = hold_until(now)
  if already >= ends then
    return already
  end
  local word = counted_as or reason
  redis.call('HSET', key('hold'), 'until', digits(ends), 'reason', reason, 'word', word)
  redis.call('PEXPIREAT', key('hold'), digits(ends))
  redis.call('HINCRBY', key('counts'), 'hold:' .. word, 1)
  return ends
end

-- GCRA, the generic cell rate algorithm. `rate` is calls per second, 0 for no limit. A tenth of a second's worth may
-- come at once, so that a batch is not taken apart into single calls.
local function permits(rate, now)
  if rate == 0 then
    return math.huge, now
  end
  local interval = 1000 / rate
  local slack = math.max(1, rate / 10) * interval
  local arrival = math.max(tonumber(redis.call('GET', key('tat'))) or now, now)
  local free = math.floor((now + slack - arrival) / interval)
  return math.max(free, 0), math.ceil(arrival + interval - slack)
end

local function spend(rate, taken, now)
  if rate > 0 and taken > 0 then
    local interval = 1000 / rate
    local arrival = math.max(tonumber(redis.call('GET', key('tat'))) or now, now) + taken * interval
    redis.call('SET', key('tat'), string.format('%.3f', arrival), 'PX', digits(arrival - now + 1000))
  end
end
