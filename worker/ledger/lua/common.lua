-- What every script of the ledger begins with.
--
-- KEYS[1] is the prefix `ekyc:{<region>}:`. One region is one hash slot, so a region may live on a Redis of its own.
-- Every time is in milliseconds of the ledger's clock: Redis's own, corrected where that was seen to jump.
--
--   due:<stage>     zset    id -> moment at which something must next happen; stage: polling, archiving, routing
--   leased          zset    id -> moment at which the batch that holds it loses it
--   quarantine      zset    id -> moment at which it came here
--   v:<id>          hash    the verification; its fields are in `worker/ledger/fields.py`
--   t:<id>          list    timeline: `<ms>|<event>|<detail>|<worker>`; the newest of each kind, as many as MOST says
--   counts          hash    enqueued, done, polls, extra_calls, answer:<kind>, decision:<name>, quarantine:<reason>, hold:<word>,
--                           evidence:<state>, took:<timing>:<bucket> (see `worker/ledger/histograms.py`), token_…
--   counts:<minute> hash    the same at the first claim of that minute, and `at`; kept for eight minutes
--   hold            hash    until, reason, word: the reason as it is counted; at: when it was ordered, as the act says
--   health          hash    trips: how often the breaker has tripped since the vendor last answered;
--                           probe: until when the one verification that tries the vendor may take; by: its id
--                           rest: until when the region rested last; reason: of the last trip
--   failing         set     the reasons for which calls failed since the vendor last answered, and for each reason
--   failing:<reason> set    the ids: the breaker counts verifications, not calls
--   acts            list    what people did: `<ms>|<act>|<detail>|<who>`; the newest MAX_ACTS
--   suspect         string  the one verification under way that was started SUSPECT times without an outcome
--   tat             string  GCRA's theoretical arrival time, the region's rate
--   wake            list    a token wakes one sleeping dispatcher
--   clock           hash    seen: the ledger's clock at a claim not long ago; ahead: what is added to Redis's own, 0 until
--                           that has jumped
--   ledger          hash    id: the identity of this ledger; before: those that were accepted to be replaced by it
--   ledger:replaced string  `<identity that a dispatcher expects>|<since, ms>`, while one finds another here
--   alarm           hash    at, by: the dispatcher that promised to wake for the next due moment
--
-- An id is in exactly one of due:*, leased and quarantine until it is done or dropped; `counts` is changed in the script that
-- moves it. So enqueued = waiting + in flight + quarantined + done + dropped, always.

-- Lines of a timeline, by kind: faults never push out what was done with a verification.
local MOST = { faults = 32, steps = 64 }
local MAX_ACTS = 1000
-- Starts without an outcome after which a verification is kept apart from others that may kill workers, too.
local SUSPECT = 4
local STAGES = { 'routing', 'archiving', 'polling' }

-- By how much Redis's clock may go back before it counts as a jump.
local JUMP_BACK = 2000
-- By how much it must leap ahead of what a process measured.
local JUMP_AHEAD = 600000

local function key(name)
  return KEYS[1] .. name
end

-- Lua prints 1e15 for large numbers; Redis wants digits.
local function digits(number)
  return string.format('%.0f', number)
end

-- The ledger's clock, and what it was at a claim not long ago. It never goes back: where Redis's does, as on a replica that
-- is promoted, what it lacks is added from then on.
local function now_ms()
  local time = redis.call('TIME')
  local clock = redis.call('HMGET', key('clock'), 'ahead', 'seen')
  local seen = tonumber(clock[2]) or 0
  local redis_ms = time[1] * 1000 + math.floor(time[2] / 1000)
  local now = redis_ms + (tonumber(clock[1]) or 0)
  if now < seen - JUMP_BACK then
    -- A full Redis refuses to note it, and is asked again at the next call.
    redis.pcall('HSET', key('clock'), 'ahead', digits(seen - redis_ms))
    now = seen
  end
  return now, seen
end

-- What was written by a clock that was ahead by `surplus` is moved back. What is due soon anyway stays as it is.
local function set_back(now, surplus)
  redis.call('HINCRBY', key('clock'), 'ahead', digits(-surplus))
  for _, name in ipairs({ 'due:routing', 'due:archiving', 'due:polling', 'leased' }) do
    local far = redis.call('ZRANGEBYSCORE', key(name), digits(now + JUMP_AHEAD), '+inf', 'WITHSCORES')
    for at = 1, #far, 2 do
      local id = far[at]
      redis.call('ZADD', key(name), digits(math.max(now, far[at + 1] - surplus)), id)
      for _, moment in ipairs({ Field.ENQUEUED_AT, Field.RETRIED_AT, Field.SETTLED_AT }) do
        if (tonumber(redis.call('HGET', key('v:' .. id), moment)) or 0) > now then
          redis.call('HSET', key('v:' .. id), moment, digits(now))
        end
      end
    end
  end
  for name, moments in pairs({ hold = { 'until', 'at' }, health = { 'probe', 'rest' } }) do
    for _, moment in ipairs(moments) do
      local at = tonumber(redis.call('HGET', key(name), moment)) or 0
      if at > now + JUMP_AHEAD then
        redis.call('HSET', key(name), moment, digits(math.max(now, at - surplus)))
      end
    end
  end
  redis.call('DEL', key('tat'), key('alarm'))
end

-- The ledger's clock for a process that has seen it before: `last` it was then, and `elapsed` ms have passed there since.
-- Where it is far ahead of both that process and the newest claim, Redis's clock has leaped.
local function watched_now_ms(last, elapsed)
  local now, seen = now_ms()
  local expected = math.max(last + elapsed, seen)
  if last > 0 and now > expected + JUMP_AHEAD then
    set_back(expected, now - expected)
    now = expected
  end
  return now, seen
end

-- A line of a timeline, taken apart: its moment, event, detail, kind, and how many it stands for.
local function read(line)
  local at, event, detail = string.match(line, '^(%d+)|([^|]*)|([^|]*)|')
  local cause, times
  if event == 'fault' then
    cause, times = string.match(detail, '^(.*) x(%d+)$')
  end
  local fault = event == 'fault' or event == 'lease_expired' or event == 'worker_stuck'
  local kind = fault and 'faults' or 'steps'
  return { at = at, event = event, cause = cause or detail, times = tonumber(times) or 1, kind = kind }
end

-- Whether there is no room for one more fault.
local function full_of_faults(timeline)
  if redis.call('LLEN', timeline) < MOST.faults then
    return false
  end
  local faults = 0
  for _, line in ipairs(redis.call('LRANGE', timeline, 0, -1)) do
    faults = faults + (read(line).kind == 'faults' and 1 or 0)
  end
  return faults >= MOST.faults
end

-- Each fault has a line, until there is no room. From then on what came before since the last step is counted: the first
-- of its cause keeps its line, and the newest stands at the end for itself and those that it takes the place of.
local function count_fault(timeline, now, cause, worker)
  if not full_of_faults(timeline) then
    return false
  end
  local lines = redis.call('LRANGE', timeline, -MOST.faults, -1)
  local newest, times
  for at = #lines, 1, -1 do
    local line = read(lines[at])
    if line.kind ~= 'faults' then
      return false
    end
    if line.event == 'fault' and line.cause == cause then
      if newest then
        redis.call('LREM', timeline, -1, newest)
        redis.call('RPUSH', timeline, digits(now) .. '|fault|' .. cause .. ' x' .. (times + 1) .. '|' .. worker)
        return true
      end
      newest, times = lines[at], line.times
    end
  end
  return false
end

-- Leave out the oldest of each kind that has too many lines. A line instead of the first says how many they were,
-- and within what time: `<ms of the first>|left_out|<kind> x<n> within <s> s|`.
local function bound(timeline)
  local kept, gone, surplus = {}, {}, { faults = -MOST.faults, steps = -MOST.steps }
  local lines = redis.call('LRANGE', timeline, 0, -1)
  for _, line in ipairs(lines) do
    if not string.find(line, '|left_out|', 1, true) then
      local kind = read(line).kind
      surplus[kind] = surplus[kind] + 1
    end
  end
  if surplus.faults <= 0 and surplus.steps <= 0 then
    return
  end
  for _, text in ipairs(lines) do
    local at, kind, times = string.match(text, '^(%d+)|left_out|(%a+) x(%d+) ')
    if at then
      kept[#kept + 1] = text
      gone[kind] = { place = #kept, at = at, times = tonumber(times) }
    else
      local line = read(text)
      if surplus[line.kind] > 0 then
        surplus[line.kind] = surplus[line.kind] - 1
        local left_out = gone[line.kind] or { place = #kept + 1, at = line.at, times = 0 }
        gone[line.kind] = left_out
        left_out.times = left_out.times + line.times
        kept[left_out.place] = string.format(
          '%s|left_out|%s x%d within %.3f s|',
          left_out.at,
          line.kind,
          left_out.times,
          (line.at - left_out.at) / 1000
        )
      else
        kept[#kept + 1] = text
      end
    end
  end
  -- In this order it keeps the moment at which it is forgotten.
  redis.call('RPUSH', timeline, unpack(kept))
  redis.call('LTRIM', timeline, -#kept, -1)
end

local function note(id, now, event, detail, worker)
  local timeline = key('t:' .. id)
  if event == 'fault' and count_fault(timeline, now, detail, worker) then
    return
  end
  local length = redis.call('RPUSH', timeline, digits(now) .. '|' .. event .. '|' .. detail .. '|' .. worker)
  if length > MOST.faults then
    bound(timeline)
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

-- Make `id` due, and make sure that some dispatcher is awake by then.
local function make_due(id, stage, at, now)
  redis.call('ZADD', key('due:' .. stage), digits(at), id)
  local alarm = tonumber(redis.call('HGET', key('alarm'), 'at'))
  if at <= now or not alarm or at < alarm then
    wake()
  end
end

local function quarantine(id, reason, now, worker)
  redis.call('ZADD', key('quarantine'), digits(now), id)
  local stage = redis.call('HGET', key('v:' .. id), Field.STAGE)
  local fields = { Field.STAGE, 'quarantined', Field.QUARANTINED_FROM, stage, Field.QUARANTINE_REASON, reason }
  redis.call('HSET', key('v:' .. id), unpack(fields))
  redis.call('HDEL', key('v:' .. id), Field.HOLDER, Field.STARTS)
  redis.call('HINCRBY', key('counts'), 'quarantine:' .. reason, 1)
  note(id, now, 'quarantined', reason, worker)
end

-- Nothing more will come of it: it is remembered for a while.
local function finish(id, retention)
  redis.call('HDEL', key('v:' .. id), Field.HOLDER, Field.STARTS, Field.CONTEXT)
  redis.call('HSET', key('v:' .. id), Field.STAGE, 'done')
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

-- `id` leaves its lease. Was it the one that tries the vendor, the next may, whatever became of it: a probe that nobody
-- answered must not keep its region shut until it would have taken too long.
local function end_probe(id)
  if redis.call('HGET', key('health'), 'by') == id then
    redis.call('HDEL', key('health'), 'by', 'probe')
    wake()
  end
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
  redis.call('HSET', key('hold'), 'until', digits(ends), 'reason', reason, 'word', word, 'at', digits(now))
  redis.call('PEXPIRE', key('hold'), digits(ends - now))
  redis.call('HINCRBY', key('counts'), 'hold:' .. word, 1)
  if redis.call('EXISTS', key('health')) == 1 then
    redis.call('HSET', key('health'), 'rest', digits(ends))
  end
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
