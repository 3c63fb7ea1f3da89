-- The beginning of every script of the ledger.
--
-- KEYS[1] is the prefix `ekyc:{<region>}:`. One region is one hash slot, so a region may live on a Redis of its own.
-- Every time is in milliseconds of the ledger's clock: Redis's own, corrected after a detected jump.
--
--   due:<stage>     zset    id -> when something must next happen; stage: polling, archiving, routing; of the default
--                           pipeline
--   due:<stage>:<pipeline>  zset  the same of another pipeline; it exists while it has an id
--   leased          zset    id -> when the lease of the batch that holds it ends
--   quarantine      zset    id -> when it was put into quarantine
--   feed            zset    id -> position of its decision: the ledger's clock in microseconds, or the newest position plus one
--                           if that is larger. It keeps a decision for the retention, and always the newest one
--   feed:gone       string  the highest position that was removed from it
--   v:<id>          hash    the verification; its fields are in `worker/ledger/fields.py`
--   t:<id>          list    steps of the timeline: `<ms>|<event>|<detail>|<worker>`; the newest ones, MOST gives the number
--   f:<id>          list    faults of the timeline, likewise; it does not exist before the first fault. Both lists and the
--                           hash expire together
--   counts          hash    enqueued, done, polls, extra_calls, answer:<kind>, decision:<name>, quarantine:<reason>, hold:<word>,
--                           evidence:<state>, took:<timing>:<bucket> (see `worker/ledger/histograms.py`), token_…
--                           shadow:<decision>:<decision of the shadow table>
--   counts:<minute> hash    the same at the first claim of that minute, and `at`; kept for eight minutes
--   hold            hash    until, reason, word: the reason as it is counted; at: when it was ordered, as in the act
--   health          hash    trips: how often the breaker has tripped since the vendor last answered;
--                           probe: until when the verification that probes the vendor has time; by: its id
--                           rest: end of the region's last hold; reason: of the last trip
--   failing         set     the reasons for which calls failed since the vendor last answered
--   failing:<reason> set    the ids that failed for that reason: the breaker counts verifications, not calls
--   failing_since   hash    reason -> when its first call failed
--   acts            list    what people did: `<ms>|<act>|<detail>|<who>`; the newest MAX_ACTS
--   suspect         string  the verification in flight that was started SUSPECT times without an outcome
--   tat             string  GCRA's theoretical arrival time, for the region's rate
--   wake            list    a token wakes one sleeping dispatcher
--   clock           hash    seen: the ledger's clock at a recent claim; ahead: what is added to Redis's own clock, 0 until
--                           that has jumped; polling, archiving, routing: the turns at that stage, here because every
--                           script reads this hash: one pipeline alone costs no command
--   ledger          hash    id: the identity of this ledger; before: accepted identities of ledgers that it replaces
--   ledger:replaced string  `<identity that a dispatcher expects>|<since, ms>`, while a dispatcher finds another one here
--   alarm           hash    at, by: the dispatcher that wakes for the next due moment
--
-- Of deliveries by webhook; none of these keys exists without an endpoint:
--   delivering      zset    id of a verification that waits only for endpoints to acknowledge its decision -> since when
--   endpoints       set     the endpoints that had a delivery here
--   webhook:<id>    hash    a delivery: endpoint, about (signatureId; '' for other events), type, body, state (waiting,
--                           failed or acknowledged), at, tries, first (try), last (try), fault (of that try), acknowledged,
--                           holder and starts, as of a verification
--   due:webhook:<endpoint>, leased:webhook:<endpoint>  zset  id of a delivery -> as for verifications
--   failed:webhook:<endpoint>        zset  id of a delivery whose tries are used up -> since when
--   acknowledged:webhook:<endpoint>  zset  id of a delivery -> when; kept for the retention
--   endpoint:<name> hash    failures: in a row; trips: holds in a row; failing: since when; worst: most tries of a delivery
--                           since then; success: the last one; window: how many may be in flight, if it is slowed; slowed:
--                           when it was last; held: until when; paused, why, who: since when, and by whom; resumed: when
--   tat:webhook:<endpoint>           string  as `tat`
--   alarm:webhook   hash    as `alarm`
--
-- An id is in exactly one of due:*, leased and quarantine until it is done or dropped; `counts` is changed in the script that
-- moves it. So enqueued = waiting + in flight + quarantined + done + dropped, always.

-- The most lines of a list. Faults have a list of their own, so that they never push out steps.
local MOST = { ['f:'] = 32, ['t:'] = 64 }
-- The list of each event that is not a step. An older release keeps all events, and `left_out`, in the list of steps.
local KINDS = { fault = 'f:', lease_expired = 'f:', worker_stuck = 'f:', left_out = '' }
-- The end of a line of a full list: the number of faults it represents, the number of removed lines, and the times of the
-- first and the last removed line.
local COUNTS = '|(%d+)|(%d+)|(%d+)|(%d+)$'
-- Expiry of the list of faults, in case an older release, which does not know the list, ends the verification: in ms.
local FAULTS_KEPT = 90 * 86400000
local MAX_ACTS = 1000
-- Starts without an outcome after which a verification is a suspect: only one suspect at a time is in flight.
local SUSPECT = 4
local STAGES = { 'routing', 'archiving', 'polling' }
-- The pipeline of the verifications that name none.
local DEFAULT = 'default'
-- The most pipelines beside the default one that have a due set of their own at a stage, because a claim reads each of these
-- sets. What further pipelines have waits in the default one's set.
local MAX_PIPELINES = 64

-- How far Redis's clock may go back before it counts as a jump, in ms.
local JUMP_BACK = 2000
-- How far it must be ahead of what a process measured to count as a jump, in ms.
local JUMP_AHEAD = 600000

-- By stage, the pipelines with a due set, in the order of their turns, each between spaces: ` default shop `. nil: there is
-- only the default one. `now_ms` reads them.
local turns = {}

local function key(name)
  return KEYS[1] .. name
end

-- Lua prints large numbers as 1e15; Redis needs digits.
local function digits(number)
  return string.format('%.0f', number)
end

-- The ledger's clock, and its value at a recent claim. It never goes back: if Redis's clock does, as after the promotion of
-- a replica, the difference is added from then on.
local function now_ms()
  local time = redis.call('TIME')
  local clock = redis.call('HMGET', key('clock'), 'ahead', 'seen', 'polling', 'archiving', 'routing')
  turns.polling, turns.archiving, turns.routing = clock[3] or nil, clock[4] or nil, clock[5] or nil
  local seen = tonumber(clock[2]) or 0
  local redis_ms = time[1] * 1000 + math.floor(time[2] / 1000)
  local now = redis_ms + (tonumber(clock[1]) or 0)
  if now < seen - JUMP_BACK then
    -- A Redis out of memory refuses this write; the next call tries it again.
    redis.pcall('HSET', key('clock'), 'ahead', digits(seen - redis_ms))
    now = seen
  end
  return now, seen
end

-- The due set of a pipeline; nil, false and DEFAULT are the default one.
local function due_set(stage, pipeline)
  if not pipeline or pipeline == DEFAULT then
    return key('due:' .. stage)
  end
  return key('due:' .. stage .. ':' .. pipeline)
end

-- An iterator over the pipelines with a due set, in the order of their turns.
local function in_turn(stage)
  return string.gmatch(turns[stage] or DEFAULT, '%S+')
end

local function store_turns(stage, list)
  if list == ' ' .. DEFAULT .. ' ' then
    redis.call('HDEL', key('clock'), stage)
    turns[stage] = nil
  elseif list ~= turns[stage] then
    redis.call('HSET', key('clock'), stage, list)
    turns[stage] = list
  end
end

-- The due set that an id of `pipeline` goes to. A pipeline that had none takes its turn last.
local function joined_set(stage, pipeline)
  if not pipeline then
    return due_set(stage)
  end
  local list = turns[stage] or ' ' .. DEFAULT .. ' '
  if not string.find(list, ' ' .. pipeline .. ' ', 1, true) then
    local _, number = string.gsub(list, '%S+', '')
    if number > MAX_PIPELINES then
      return due_set(stage)
    end
    store_turns(stage, list .. pipeline .. ' ')
  end
  return due_set(stage, pipeline)
end

-- When `id` is due at `stage`, and the set that has it; nil if none has. Of an id whose pipeline has a set of its own, the
-- default one's set may have it too: see MAX_PIPELINES, and a worker of an older release knows no other set.
local function due_at(id, stage, pipeline)
  for _, set in ipairs(pipeline and { due_set(stage, pipeline), due_set(stage) } or { due_set(stage) }) do
    local at = redis.call('ZSCORE', set, id)
    if at then
      return at, set
    end
  end
end

-- Move back times that were written while the clock was ahead by `surplus`. Times that are due soon anyway stay.
local function set_back(now, surplus)
  redis.call('HINCRBY', key('clock'), 'ahead', digits(-surplus))
  local sets = { key('leased') }
  for _, stage in ipairs(STAGES) do
    for pipeline in in_turn(stage) do
      sets[#sets + 1] = due_set(stage, pipeline)
    end
  end
  for _, set in ipairs(sets) do
    local far = redis.call('ZRANGEBYSCORE', set, digits(now + JUMP_AHEAD), '+inf', 'WITHSCORES')
    for at = 1, #far, 2 do
      local id = far[at]
      redis.call('ZADD', set, digits(math.max(now, far[at + 1] - surplus)), id)
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
  for _, endpoint in ipairs(redis.call('SMEMBERS', key('endpoints'))) do
    for _, name in ipairs({ 'due:webhook:', 'leased:webhook:' }) do
      local far = redis.call('ZRANGEBYSCORE', key(name .. endpoint), digits(now + JUMP_AHEAD), '+inf', 'WITHSCORES')
      for at = 1, #far, 2 do
        redis.call('ZADD', key(name .. endpoint), digits(math.max(now, far[at + 1] - surplus)), far[at])
      end
    end
    redis.call('HDEL', key('endpoint:' .. endpoint), 'held')
    redis.call('DEL', key('tat:webhook:' .. endpoint))
  end
  redis.call('DEL', key('tat'), key('alarm'), key('alarm:webhook'))
end

-- The ledger's clock for a process that read `last` from it `elapsed` ms ago. If the clock is far ahead of that process and
-- of the newest claim, Redis's clock has jumped ahead.
local function watched_now_ms(last, elapsed)
  local now, seen = now_ms()
  local expected = math.max(last + elapsed, seen)
  if last > 0 and now > expected + JUMP_AHEAD then
    set_back(expected, now - expected)
    now = expected
  end
  return now, seen
end

local function kind_of(line)
  return KINDS[string.match(line, '|([^|]*)')] or 't:'
end

local function moment(line)
  return tonumber(string.match(line, '^%d+'))
end

-- The newest line of a fault for `cause`, if there is another one since the last step; otherwise nil.
local function shared_line(id, lines, cause)
  local last_step = moment(redis.call('LINDEX', key('t:' .. id), -1) or '0')
  local newest
  for at = #lines, 1, -1 do
    if moment(lines[at]) <= last_step then
      return nil
    end
    if string.find(lines[at], '|fault|' .. cause .. '|', 1, true) then
      if newest then
        return newest
      end
      newest = lines[at]
    end
  end
end

-- Remove one line from a full list. Returns the counts to append to the new line; '' if the list is not full.
local function make_room(id, kind, event, cause)
  local list, lines = key(kind .. id), {}
  for _, line in ipairs(redis.call('LRANGE', list, 0, -1)) do
    if kind_of(line) == kind then
      lines[#lines + 1] = line
    end
  end
  if #lines < MOST[kind] then
    return ''
  end
  local _, gone, first, last = string.match(lines[#lines], COUNTS)
  local shared = event == 'fault' and shared_line(id, lines, cause)
  local removed = shared or lines[1]
  local times = tonumber((string.match(removed, COUNTS))) or 1
  redis.call('LREM', list, 1, removed)
  if shared then
    return string.format('|%d|%d|%s|%s', times + 1, gone or 0, first or '0', last or '0')
  end
  local at = digits(moment(removed))
  return string.format('|1|%d|%s|%s', (gone or 0) + times, gone ~= '0' and first or at, at)
end

local function note(id, now, event, detail, worker)
  local kind = KINDS[event] or 't:'
  local list = key(kind .. id)
  local line = digits(now) .. '|' .. event .. '|' .. detail .. '|' .. worker
  local length = redis.call('RPUSH', list, line)
  if length > MOST[kind] then
    -- Replace the line by one with its counts. The list is never empty meanwhile, so it keeps its expiry.
    redis.call('LTRIM', list, 0, -2)
    redis.call('RPUSH', list, line .. make_room(id, kind, event, detail))
  elseif length == 1 and kind == 'f:' then
    redis.call('PEXPIRE', list, FAULTS_KEPT)
  end
end

-- Let an ended verification expire after `retention` ms.
local function expire(id, retention)
  local in_ms = digits(retention)
  redis.call('PEXPIRE', key('v:' .. id), in_ms)
  redis.call('PEXPIRE', key('t:' .. id), in_ms)
  redis.call('PEXPIRE', key('f:' .. id), in_ms)
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

-- Make `id` due in `set`, and make sure that a dispatcher is awake by then.
local function make_due(id, set, at, now)
  redis.call('ZADD', set, digits(at), id)
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
  redis.call('HDEL', key('v:' .. id), Field.HOLDER, Field.STARTS, Field.NUDGED)
  redis.call('HINCRBY', key('counts'), 'quarantine:' .. reason, 1)
  note(id, now, 'quarantined', reason, worker)
end

-- End a verification; it is kept for `retention` ms. `waits_since`: if endpoints have not acknowledged its decision, the
-- clock; it ends once they have.
local function finish(id, retention, waits_since)
  redis.call('HDEL', key('v:' .. id), Field.HOLDER, Field.STARTS, Field.NUDGED, Field.CONTEXT)
  if waits_since then
    redis.call('HSET', key('v:' .. id), Field.STAGE, 'delivering')
    redis.call('ZADD', key('delivering'), digits(waits_since), id)
    return
  end
  redis.call('HSET', key('v:' .. id), Field.STAGE, 'done')
  redis.call('HINCRBY', key('counts'), 'done', 1)
  expire(id, retention)
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

-- When the region's hold ends; 0 if it is not on hold.
local function hold_until(now)
  local ends = tonumber(redis.call('HGET', key('hold'), 'until'))
  if ends and ends > now then
    return ends
  end
  return 0
end

-- `id` leaves its lease. If it was the probe, the next verification may probe, whatever the outcome: a probe without an
-- answer must not block its region until its time is over.
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
  redis.call('DEL', key('failing'), key('failing_since'))
end

-- Put the region on hold. A hold that ends later stays. Returns when the hold ends. A reason that a person wrote is counted
-- as one word, so that the counters stay few.
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

-- GCRA, the generic cell rate algorithm. `rate` is calls per second, 0 for no limit. A burst may have the
-- calls of a tenth of a second, so that a batch is not split into single calls.
local function permits(rate, now, name)
  if rate == 0 then
    return math.huge, now
  end
  local interval = 1000 / rate
  local slack = math.max(1, rate / 10) * interval
  local arrival = math.max(tonumber(redis.call('GET', key(name or 'tat'))) or now, now)
  local free = math.floor((now + slack - arrival) / interval)
  return math.max(free, 0), math.ceil(arrival + interval - slack)
end

local function spend(rate, taken, now, name)
  if rate > 0 and taken > 0 then
    local interval = 1000 / rate
    local arrival = math.max(tonumber(redis.call('GET', key(name or 'tat'))) or now, now) + taken * interval
    redis.call('SET', key(name or 'tat'), string.format('%.3f', arrival), 'PX', digits(arrival - now + 1000))
  end
end

-- Make a delivery due at `at`, and make sure that a dispatcher is awake by then.
local function make_delivery_due(id, endpoint, at, now)
  redis.call('ZADD', key('due:webhook:' .. endpoint), digits(at), id)
  local alarm = tonumber(redis.call('HGET', key('alarm:webhook'), 'at'))
  if at <= now or not alarm or at < alarm then
    wake()
  end
end

-- Add deliveries, due now; `about`: a signatureId or ''. One that exists already stays as it is. Returns their endpoints as
-- one text.
local function add_deliveries(about, deliveries, now)
  local endpoints = {}
  for _, each in ipairs(deliveries) do
    endpoints[#endpoints + 1] = each.endpoint
    local delivery = key('webhook:' .. each.id)
    if redis.call('EXISTS', delivery) == 0 then
      redis.call('HSET', delivery, 'endpoint', each.endpoint, 'about', about, 'type', each.type, 'body', each.body,
        'state', 'waiting', 'at', digits(now))
      redis.call('SADD', key('endpoints'), each.endpoint)
      redis.call('HINCRBY', key('counts'), 'webhook:created:' .. each.endpoint, 1)
      make_delivery_due(each.id, each.endpoint, now, now)
    end
  end
  return table.concat(endpoints, ' ')
end

-- An endpoint has acknowledged the decision of a verification, which ends if it waited for that alone.
local function acknowledge(id, endpoint, retention)
  local verification = key('v:' .. id)
  local seen = redis.call('HMGET', verification, Field.STAGE, Field.DELIVERIES)
  if not seen[2] then
    return
  end
  local left = {}
  for name in string.gmatch(seen[2], '%S+') do
    if name ~= endpoint then
      left[#left + 1] = name
    end
  end
  if #left > 0 then
    redis.call('HSET', verification, Field.DELIVERIES, table.concat(left, ' '))
    return
  end
  redis.call('HDEL', verification, Field.DELIVERIES)
  if seen[1] == 'delivering' then
    redis.call('ZREM', key('delivering'), id)
    finish(id, retention)
  end
end

-- The tries of a delivery are used up: it stays, and with it the verification, until a person resends it.
local function fail_delivery(id, endpoint, about, fault, now)
  redis.call('HSET', key('webhook:' .. id), 'state', 'failed', 'fault', fault)
  redis.call('HDEL', key('webhook:' .. id), 'starts')
  redis.call('ZADD', key('failed:webhook:' .. endpoint), digits(now), id)
  redis.call('HINCRBY', key('counts'), 'webhook:given_up:' .. endpoint, 1)
  if about ~= '' and redis.call('EXISTS', key('v:' .. about)) == 1 then
    note(about, now, 'not_delivered', endpoint .. ' ' .. fault, '')
  end
end
