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
--                           `.` takes the place of the newest one if that is erased
--   feed:gone       string  the highest position that was removed from it
--   v:<id>          hash    the verification; its fields are in `worker/ledger/fields.py`
--   t:<id>          list    steps of the timeline: `<ms>|<event>|<detail>|<worker>`; the newest ones, MOST gives the number
--   f:<id>          list    faults of the timeline, likewise; it does not exist before the first fault. Both lists and the
--                           hash expire together
--   counts          hash    enqueued, done, polls, extra_calls, answer:<kind>, decision:<name>, quarantine:<reason>, hold:<word>,
--                           evidence:<state>, took:<timing>:<bucket> (see `worker/ledger/histograms.py`), token_…
--                           shadow:<decision>:<decision of the shadow table>, error_code:<code>, error_codes: how many of these
--                           were new
--   counts:<minute> hash    the same at the first claim of that minute, and `at`; kept for eight minutes
--   minutes         list    a line for each of the last 62 such minutes, for the figures of the last hour:
--                           `<ms>|<enqueued>|<polls>|<decided>|<leases expired>|<timing>:<bucket>=<count> …`
--   hold            hash    until, reason, word: the reason as it is counted; at: when it was ordered, as in the act
--   health          hash    trips: how often the breaker has tripped since the vendor last answered;
--                           probe: until when the verification that probes the vendor has time; by: its id
--                           rest: end of the region's last hold; reason: of the last trip
--   failing         set     the reasons for which calls failed since the vendor last answered
--   failing:<reason> set    the ids that failed for that reason: the breaker counts verifications, not calls
--   failing_since   hash    reason -> when its first call failed
--   acts            list    what people did to the whole region: `<ms>|<act>|<detail>|<who>`; the newest MAX_ACTS
--   audit           stream  the region's part of the audit log, see `worker/ledger/audit.py`
--   audit:evidence  stream  the same, of acts on evidence
--   audit:erasures  stream  the same, of erasures
--   …:2, …:3        stream  what was added to one of these while the ids of the streams before were ahead of the clock
--   audit:counts    hash    dropped:<stream>: entries that newer ones pushed out; refused:<stream>, refused_at:<stream>: acts
--                           that were refused because their entry could not be added, and when the last one was
--   suspect         string  the verification in flight that was started SUSPECT times without an outcome
--   damaged         zset    id -> when a claim last found that its key is no hash; kept for ten minutes after the last one
--   tat             string  GCRA's theoretical arrival time, for the region's rate
--   legal_holds     zset    id -> since when a legal hold stops its erasure; the evidence store has who and why
--   erasing         zset    id -> when its erasure began, until it has ended: a killed one is shown
--   closings        zset    id -> when a pipeline says that its business relationship ended, until a worker has stored it
--   closings:turn   string  while a worker stores closings
--   closings:stored zset    id -> when its closing was stored; kept for ten minutes, in which no sweep erases the id
--   e:<id>          set     deliveries of events about a verification, so that an erasure finds them; it does not exist
--                           without an event
--   reviewed:<id>   hash    number and verdict of a review -> when it was recorded; kept for a week, in which it is not
--                           recorded twice
--   wake            list    a token wakes one sleeping dispatcher
--   clock           hash    seen: the ledger's clock at a recent claim; ahead: what is added to Redis's own clock, 0 until
--                           that has jumped; polling, archiving, routing: the turns at that stage, here because every
--                           script reads this hash: one pipeline alone costs no command
--   ledger          hash    id: the identity of this ledger; before: accepted identities of ledgers that it replaces;
--                           store: the URL of the evidence store that has noted the identity
--   ledger:replaced string  `<identity that a dispatcher expects>|<since, ms>`, while a dispatcher finds another one here
--   alarm           hash    at, by: the dispatcher that wakes for the next due moment
--
-- Of the log of evidence (see `worker/ledger/evidence_log.py`); none of these keys exists without a key of the log:
--   log:pending     zset    id -> when its evidence became final, and it was queued to be added to the log
--   log             hash    seq, size, root: of the newest commit seen; queued, logged, skipped: ids put into the queue and
--                           taken out of it; fault: why the log is not continued
--   log:lease       string  the process that continues the log
--
-- Of deliveries by webhook; none of these keys exists without an endpoint:
--   delivering      zset    id of a verification that waits only for endpoints to acknowledge its decision -> since when
--   endpoints       set     the endpoints that had a delivery here
--   webhook:<id>    hash    a delivery: endpoint, about (signatureId; '' for other events), type, body, state (waiting,
--                           failed or acknowledged), at, tries, first (try), last (try), fault (of that try), acknowledged,
--                           holder and starts, as of a verification; seal: the MAC of the body of a decision
--   due:webhook:<endpoint>, leased:webhook:<endpoint>  zset  id of a delivery -> as for verifications
--   failed:webhook:<endpoint>        zset  id of a delivery whose tries are used up -> since when
--   acknowledged:webhook:<endpoint>  zset  id of a delivery -> when; kept for the retention
--   endpoint:<name> hash    failures: in a row; trips: holds in a row; failing: since when; worst: most tries of a delivery
--                           since then; success: the last one; window: how many may be in flight, if it is slowed; slowed:
--                           when it was last; held: until when; paused, why, who: since when, and by whom; resumed: when
--   answers:webhook:<endpoint>       list    `<ms>|<answer>` of the last 20 tries, whatever the delivery
--   tat:webhook:<endpoint>           string  as `tat`
--   alarm:webhook   hash    as `alarm`
--
-- An id is in exactly one of due:*, leased and quarantine until it is done or dropped; `counts` is changed in the script that
-- moves it. So enqueued = waiting + in flight + quarantined + done + dropped, always. An erasure leaves of a verification
-- only a hash with the stage `erased`; it stays counted as what it was.

-- The most lines of a list. Faults have a list of their own, so that they never push out steps.
local MOST = { ['f:'] = 32, ['t:'] = 64 }
-- The newest lines of a list that are read and kept: no script makes a list that long.
local MOST_READ = 256
-- The list of each event that is not a step. An older release keeps all events, and `left_out`, in the list of steps.
local KINDS = { fault = 'f:', lease_expired = 'f:', worker_stuck = 'f:', left_out = '' }
-- The end of a line of a full list: the number of faults it represents, the number of removed lines, and the times of the
-- first and the last removed line.
local COUNTS = '|(%d+)|(%d+)|(%d+)|(%d+)$'
-- Expiry of the list of faults, in case an older release, which does not know the list, ends the verification: in ms.
local FAULTS_KEPT = 90 * 86400000
local MAX_ACTS = 1000
-- The entries that a region's part of the audit log keeps, and for how long, in ms: as in `worker/ledger/audit.py`.
local AUDIT_KEPT, AUDIT_KEPT_MS = 200000, 400 * 86400000
-- Old entries of each stream that each new entry removes.
local AUDIT_REMOVED = 10
-- The streams of an audit log: ids of a stream only grow, so the next stream is used while one is ahead of the clock.
local AUDIT_STREAMS = { '', ':2', ':3' }
-- How far the newest id of a stream may be ahead of the clock, in ms.
local AUDIT_AHEAD = 2000
-- Numbers up to this one are exact in Lua.
local EXACT = 9007199254740992
-- The end of the year 9999, in ms: no closing time is later.
local LATEST = 253402300799999
-- Starts without an outcome after which a verification is a suspect: only one suspect at a time is in flight.
local SUSPECT = 4
local STAGES = { 'routing', 'archiving', 'polling' }
-- The pipeline of the verifications that name none.
local DEFAULT = 'default'
-- The most pipelines beside the default one that have a due set of their own at a stage, because a claim reads each of these
-- sets. What further pipelines have waits in the default one's set.
local MAX_PIPELINES = 64
-- The most bytes of a stage's turns that are read: these pipelines, and the spaces around them, have less.
local LONGEST_TURNS = 2200

-- Whether workers take verifications at a stage: any other one was written by somebody else.
local function is_taken_at(stage)
  for _, each in ipairs(STAGES) do
    if each == stage then
      return true
    end
  end
  return false
end

-- How far Redis's clock may go back before it counts as a jump, in ms.
local JUMP_BACK = 2000
-- How far it must be ahead of what a process measured to count as a jump, in ms.
local JUMP_AHEAD = 600000

-- By stage, the pipelines with a due set, in the order of their turns, each between spaces: ` default shop `. nil: there is
-- only the default one. `now_ms` reads them.
local turns = {}
-- The ledger's clock at a recent claim, 0 if there was none. `now_ms` reads it.
local last_claim = 0

local function key(name)
  return KEYS[1] .. name
end

-- Lua prints large numbers as 1e15; Redis needs digits.
local function digits(number)
  return string.format('%.0f', number)
end

-- The number that a text is; nil if it is none that a time or a count can be, such as `nan`: somebody else wrote it.
local function number_of(text)
  local number = tonumber(text)
  if number and number > -1e15 and number < 1e15 then
    return number
  end
end

-- Run a command. Returns nil if it fails with one of `faults`, which are parts of Redis's message: somebody else wrote the key.
local WRONG_TYPE, NO_NUMBER = { 'WRONGTYPE' }, { 'integer', 'overflow' }
local function unless(faults, ...)
  local answer = redis.pcall(...)
  local found = type(answer) == 'table' and answer.err
  if not found then
    return answer
  end
  for _, fault in ipairs(faults) do
    if string.find(found, fault, 1, true) then
      return nil
    end
  end
  -- The same again ends the script with its own error: before Redis 7, `error` loses one that is a table.
  return redis.call(...)
end

-- Fields of a hash: that of a verification, or of a delivery. nil: its key is damaged, which must not stop the others.
local function fields_of(hash, ...)
  return unless(WRONG_TYPE, 'HMGET', hash, ...)
end

-- Add to a number in a hash, and return the sum. One that is no number, or too large, was written by somebody else and starts
-- over: it must not stop what it counts.
local function increased(hash, field, by)
  local sum = unless(NO_NUMBER, 'HINCRBY', hash, field, by)
  if not sum then
    redis.call('HSET', hash, field, by)
  end
  return sum or tonumber(by)
end

-- Add to a counter of the region.
local function add_to(counter, by)
  increased(key('counts'), counter, by)
end

-- The turns of a stage. Of more than scripts write the end is left out: each script goes through all of them.
local function turns_of(text)
  if text and #text > LONGEST_TURNS then
    return string.match(string.sub(text, 1, LONGEST_TURNS), '^.*%s')
  end
  return text or nil
end

-- The ledger's clock, and its value at a recent claim. It never goes back: if Redis's clock does, as after the promotion of
-- a replica, the difference is added from then on.
local function now_ms()
  local time = redis.call('TIME')
  local clock = redis.call('HMGET', key('clock'), 'ahead', 'seen', 'polling', 'archiving', 'routing')
  turns.polling, turns.archiving, turns.routing = turns_of(clock[3]), turns_of(clock[4]), turns_of(clock[5])
  local seen = number_of(clock[2]) or 0
  last_claim = seen
  local redis_ms = time[1] * 1000 + math.floor(time[2] / 1000)
  local now = redis_ms + math.floor(number_of(clock[1]) or 0)
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

-- Keys that scripts write, by a command that reads a key of the right type only: those of all scripts, those of acts on a
-- region, and those of a verification's next state.
local WRITTEN = { HGET = { 'counts', 'clock', 'alarm' }, LLEN = { 'wake' } }
local WRITTEN_BY_ACTS = { HGET = { 'hold', 'health' }, LLEN = { 'acts' } }
local WRITTEN_BY_STATES = {
  HGET = { 'hold', 'health', 'log' },
  SCARD = { 'failing' },
  ZCARD = { 'leased', 'quarantine', 'done', 'delivering', 'feed', 'log:pending' },
}

local function read_each(written)
  for command, names in pairs(written) do
    for _, name in ipairs(names) do
      if command == 'HGET' then
        redis.call(command, key(name), 'any')
      else
        redis.call(command, key(name))
      end
    end
  end
end

-- The ledger's clock, for a script that writes. A key of another type ends the script here: Redis would not undo what the
-- script has written before it meets that key, and a verification would be in no set. `also`: further keys to read.
local function now_before_writes(also)
  local now, seen = now_ms()
  read_each(WRITTEN)
  read_each(also or {})
  for _, stage in ipairs(STAGES) do
    for pipeline in in_turn(stage) do
      redis.call('ZCARD', due_set(stage, pipeline))
    end
  end
  return now, seen
end

-- Read what `add_deliveries` writes for a region and its endpoints, before the first write of a script that adds some.
local were_read = {}
local function read_for_deliveries(deliveries)
  for _, each in ipairs(deliveries) do
    if not were_read[each.endpoint] then
      were_read[each.endpoint] = true
      read_each({ HGET = { 'alarm:webhook' }, SCARD = { 'endpoints' }, ZCARD = { 'due:webhook:' .. each.endpoint } })
    end
  end
end

-- Move back times that were written while the clock was ahead by `surplus`. Times that are due soon anyway stay.
local function set_back(now, surplus)
  increased(key('clock'), 'ahead', digits(-surplus))
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
      local moments = { Field.ENQUEUED_AT, Field.RETRIED_AT, Field.SETTLED_AT }
      local found = fields_of(key('v:' .. id), unpack(moments)) or {}
      for number, moment in ipairs(moments) do
        if (tonumber(found[number]) or 0) > now then
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
  local last_step = moment(unless(WRONG_TYPE, 'LINDEX', key('t:' .. id), -1) or '0')
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
  redis.call('LTRIM', list, -MOST_READ, -1)
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
  local length = unless(WRONG_TYPE, 'RPUSH', list, line)
  if not length then
    -- `ekyc doctor` names it: it stops neither its verification nor the others.
    return
  end
  if length > MOST[kind] then
    -- Replace the line by one with its counts. The list is never empty meanwhile, so it keeps its expiry.
    redis.call('LTRIM', list, 0, -2)
    redis.call('RPUSH', list, line .. make_room(id, kind, event, detail))
  elseif length == 1 and kind == 'f:' then
    redis.call('PEXPIRE', list, FAULTS_KEPT)
  end
end

-- Whether an id comes after another one. Ids are compared by bytes, as Redis does it: the operators of Lua compare by the
-- locale.
local function is_after(member, id)
  for at = 1, math.min(#member, #id) do
    local mine, other = member:byte(at), id:byte(at)
    if mine ~= other then
      return mine > other
    end
  end
  return #member > #id
end

-- The rank of the first member of a sorted set after `id` at `score`. The set may have lost the id, so its place is found by
-- halves.
local function rank_after(set, score, id)
  local low = redis.call('ZCOUNT', set, '-inf', '(' .. score)
  local high = id == '' and low or low + redis.call('ZCOUNT', set, score, score)
  while low < high do
    local middle = math.floor((low + high) / 2)
    if is_after(redis.call('ZRANGE', set, middle, middle)[1], id) then
      high = middle
    else
      low = middle + 1
    end
  end
  return low
end

-- The newest position of the feed, nil if it has none. One that is not exact in Lua was written by somebody else: no other
-- one could follow it.
local function newest_position()
  local newest = tonumber(redis.call('ZRANGE', key('feed'), -1, -1, 'WITHSCORES')[2])
  if newest and newest >= EXACT then
    local known = redis.call('ZCOUNT', key('feed'), '-inf', '(' .. digits(EXACT))
    newest = known > 0 and tonumber(redis.call('ZRANGE', key('feed'), known - 1, known - 1, 'WITHSCORES')[2])
  end
  return newest and newest > -EXACT and newest or nil
end

-- Let an ended verification expire after `retention` ms.
local function expire(id, retention)
  local in_ms = digits(retention)
  redis.call('PEXPIRE', key('v:' .. id), in_ms)
  redis.call('PEXPIRE', key('t:' .. id), in_ms)
  redis.call('PEXPIRE', key('f:' .. id), in_ms)
  redis.call('PEXPIRE', key('e:' .. id), in_ms)
end

local function act(now, name, detail, who)
  redis.call('RPUSH', key('acts'), digits(now) .. '|' .. name .. '|' .. detail .. '|' .. who)
  redis.call('LTRIM', key('acts'), -MAX_ACTS, -1)
end

-- Count an act that is refused because its entry cannot be added. Redis may refuse this, too: then it has an alert of its own.
local function count_refused(name, now)
  redis.pcall('HINCRBY', key('audit:counts'), 'refused:' .. name, 1)
  redis.pcall('HSET', key('audit:counts'), 'refused_at:' .. name, digits(now))
end

-- Run a command on a stream of an audit log. An error ends the script, and is counted.
local function on_audit(name, now, command)
  local answer = redis.pcall(unpack(command))
  if type(answer) == 'table' and answer.err then
    count_refused(name, now)
    return redis.call(unpack(command))
  end
  return answer
end

-- Count what the newest entry of a stream, which had `before` entries, has pushed out.
local function count_dropped(name, stream, before)
  if before >= AUDIT_KEPT then
    local dropped = before + 1 - redis.call('XLEN', stream)
    if dropped > 0 then
      -- A count that somebody else has written must not stop the act, whose entry is there.
      redis.pcall('HINCRBY', key('audit:counts'), 'dropped:' .. name, dropped)
    end
  end
end

-- The id of a new entry of a stream, and the time of its newest entry, 0 if it has none. The id is nil if the newest one is
-- ahead of the clock: the writer of that one had a wrong clock, or wrote to Redis directly.
local function audit_id(name, stream, now)
  local newest = on_audit(name, now, { 'XREVRANGE', stream, '+', '-', 'COUNT', 1 })[1]
  if not newest then
    return digits(now) .. '-0', 0
  end
  local at, number = string.match(newest[1], '^(%d+)-(%d+)$')
  local ms = tonumber(at)
  if ms < now then
    return digits(now) .. '-0', ms
  end
  if ms <= now + AUDIT_AHEAD and tonumber(number) < EXACT then
    return at .. '-' .. digits(number + 1), ms
  end
  return nil, ms
end

-- Remove old entries, as XTRIM does by MINID, which Redis has from 6.2 on. An entry is old by three clocks: `now`, that of
-- somebody else, and the newest entry before. So a jump of Redis's clock removes nothing at once.
local function trim_audit(name, now, other, newest)
  local oldest = digits(math.max(math.min(now, other, newest) - AUDIT_KEPT_MS, 0))
  for _, suffix in ipairs(AUDIT_STREAMS) do
    local stream = key(name .. suffix)
    local old = redis.pcall('XRANGE', stream, '-', oldest, 'COUNT', AUDIT_REMOVED)
    for _, each in ipairs(old) do
      redis.call('XDEL', stream, each[1])
    end
  end
end

-- Add an entry to an audit log. `other`: the clock of somebody else than Redis.
local function add_to_audit(name, now, other, entry)
  for _, suffix in ipairs(AUDIT_STREAMS) do
    local stream = key(name .. suffix)
    local id, newest = audit_id(name, stream, now)
    local before = on_audit(name, now, { 'XLEN', stream })
    local command = { 'XADD', stream, 'MAXLEN', '~', AUDIT_KEPT, id, unpack(entry) }
    local added = id and redis.pcall(unpack(command))
    if type(added) == 'table' and not string.find(added.err, 'ID specified in XADD', 1, true)
      and not string.find(added.err, 'last possible ID', 1, true) then
      -- Redis is full, for example: the same again ends the script with its own error.
      added = on_audit(name, now, command)
    end
    if type(added) == 'string' then
      count_dropped(name, stream, before)
      trim_audit(name, now, other, newest)
      return
    end
  end
  count_refused(name, now)
  error('NOAUDIT: no stream of ' .. key(name) .. ' takes an entry')
end

-- Add an entry to the region's audit log. `who` is empty if the fleet itself acts, which is no entry.
-- An act calls this before its first change: Lua undoes nothing, so what cannot be recorded must not have begun.
local function audit(now, name, who, via, subject, detail)
  if who ~= '' then
    local entry = { 'act', name, 'who', who, 'via', via, 'subject', subject, 'detail', detail }
    local stream = 'audit'
    if string.sub(name, 1, 14) == 'evidence_erase' then
      -- A sweep erases thousands: it must not push out looks and verdicts.
      stream = 'audit:erasures'
    elseif name == 'verdict' or string.sub(name, 1, 9) == 'evidence_' then
      stream = 'audit:evidence'
    end
    add_to_audit(stream, now, last_claim, entry)
  end
end

local function wake()
  if redis.call('LLEN', key('wake')) == 0 then
    redis.call('RPUSH', key('wake'), '1')
  end
end

-- Make sure that a dispatcher is awake by `at`.
local function wake_by(at, now)
  local alarm = number_of(redis.call('HGET', key('alarm'), 'at'))
  if at <= now or not alarm or at < alarm then
    wake()
  end
end

-- Make `id` due in `set`, and make sure that a dispatcher is awake by then.
local function make_due(id, set, at, now)
  redis.call('ZADD', set, digits(at), id)
  wake_by(at, now)
end

local function quarantine(id, reason, now, worker)
  redis.call('ZADD', key('quarantine'), digits(now), id)
  local stage = redis.call('HGET', key('v:' .. id), Field.STAGE)
  local fields = { Field.STAGE, 'quarantined', Field.QUARANTINED_FROM, stage, Field.QUARANTINE_REASON, reason }
  redis.call('HSET', key('v:' .. id), unpack(fields))
  redis.call('HDEL', key('v:' .. id), Field.HOLDER, Field.STARTS, Field.NUDGED)
  add_to('quarantine:' .. reason, 1)
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
  add_to('done', 1)
  expire(id, retention)
end

-- Count that a verification leaves quarantine. `reason`: false if its hash has none, which no script wrote.
local function leave_quarantine(reason)
  if reason then
    add_to('quarantine:' .. reason, -1)
  end
end

-- Queue a verification for the log of evidence. Returns 1, or 0 if it was queued already.
local function queue_for_log(id, now)
  local new = redis.call('ZADD', key('log:pending'), digits(now), id)
  if new == 1 then
    increased(key('log'), 'queued', 1)
  end
  return new
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

-- When the region's hold ends, 0 if it is not on hold; and when its last hold ended by itself, 0 if that is not known.
local function hold_until(now)
  local ends = tonumber(redis.call('HGET', key('hold'), 'until')) or 0
  if ends > now then
    return ends, 0
  end
  return 0, ends
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
  add_to('hold:' .. word, 1)
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
  local arrival = math.max(number_of(redis.call('GET', key(name or 'tat'))) or now, now)
  local free = math.floor((now + slack - arrival) / interval)
  return math.max(free, 0), math.ceil(arrival + interval - slack)
end

local function spend(rate, taken, now, name)
  if rate > 0 and taken > 0 then
    local interval = 1000 / rate
    local arrival = math.max(number_of(redis.call('GET', key(name or 'tat'))) or now, now) + taken * interval
    redis.call('SET', key(name or 'tat'), string.format('%.3f', arrival), 'PX', digits(arrival - now + 1000))
  end
end

-- How many deliveries of a slowed endpoint may be in flight; nil if it is not slowed. A script writes 1 at least: less would
-- stop the endpoint for ever.
local function window_of(text)
  local window = math.floor(number_of(text) or 0)
  return window >= 1 and window or nil
end

-- Make a delivery due at `at`, and make sure that a dispatcher is awake by then.
local function make_delivery_due(id, endpoint, at, now)
  redis.call('ZADD', key('due:webhook:' .. endpoint), digits(at), id)
  local alarm = number_of(redis.call('HGET', key('alarm:webhook'), 'at'))
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
      if each.seal then
        redis.call('HSET', delivery, 'seal', each.seal)
      end
      redis.call('SADD', key('endpoints'), each.endpoint)
      if about ~= '' and each.type ~= 'verification.decided' then
        -- If its key is damaged, an erasure ends with an error that names it.
        unless(WRONG_TYPE, 'SADD', key('e:' .. about), each.id .. ' ' .. each.endpoint)
        redis.call('PEXPIRE', key('e:' .. about), FAULTS_KEPT)
      end
      add_to('webhook:created:' .. each.endpoint, 1)
      make_delivery_due(each.id, each.endpoint, now, now)
    end
  end
  return table.concat(endpoints, ' ')
end

-- A moment in ms as RFC 3339, in UTC. The days are counted in years that begin in March, in eras of 400 years.
local function rfc3339(at)
  local days, ms = math.floor(at / 86400000) + 719468, at % 86400000
  local era = math.floor(days / 146097)
  local day = days - era * 146097
  local year = math.floor((day - math.floor(day / 1460) + math.floor(day / 36524) - math.floor(day / 146096)) / 365)
  day = day - (365 * year + math.floor(year / 4) - math.floor(year / 100))
  local month = math.floor((5 * day + 2) / 153)
  day = day - math.floor((153 * month + 2) / 5) + 1
  year, month = year + era * 400 + (month > 9 and 1 or 0), month + (month > 9 and -9 or 3)
  return string.format('%04d-%02d-%02dT%02d:%02d:%06.3fZ', year, month, day, math.floor(ms / 3600000),
    math.floor(ms / 60000) % 60, ms % 60000 / 1000)
end

-- Add events about a hold. `until` in their bodies is null, and becomes the end of the hold.
local function announce_hold(events, ends, now)
  for _, each in ipairs(events) do
    each.body = string.gsub(each.body, '"until":null', '"until":"' .. rfc3339(ends) .. '"')
  end
  add_deliveries('', events, now)
end

-- An endpoint has acknowledged the decision of a verification, which ends if it waited for that alone.
local function acknowledge(id, endpoint, retention)
  local verification = key('v:' .. id)
  local seen = fields_of(verification, Field.STAGE, Field.DELIVERIES)
  if not (seen and seen[2]) then
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
  add_to('webhook:given_up:' .. endpoint, 1)
  if about ~= '' and redis.call('EXISTS', key('v:' .. about)) == 1 then
    note(about, now, 'not_delivered', endpoint .. ' ' .. fault, '')
  end
end

local function forget_delivery(id, endpoint)
  for _, set in ipairs({ 'due:webhook:', 'leased:webhook:', 'failed:webhook:', 'acknowledged:webhook:' }) do
    redis.call('ZREM', key(set .. endpoint), id)
  end
  redis.call('DEL', key('webhook:' .. id))
end

-- Remove everything about a verification, and leave a mark: an enqueue finds it known, and a late message finds nothing
-- to do. `deliveries`: id and endpoint of each delivery of its decision that there may be. `reason`: kept with the mark.
local function erase(id, deliveries, now, reason)
  for at = 1, #deliveries, 2 do
    forget_delivery(deliveries[at], deliveries[at + 1])
  end
  for _, each in ipairs(redis.call('SMEMBERS', key('e:' .. id))) do
    forget_delivery(string.match(each, '^(%S+) (%S+)$'))
  end
  for _, set in ipairs({ 'leased', 'quarantine', 'delivering', 'closings', 'closings:stored' }) do
    redis.call('ZREM', key(set), id)
  end
  local position = redis.call('ZSCORE', key('feed'), id)
  if position then
    if redis.call('ZRANGE', key('feed'), -1, -1)[1] == id then
      -- Positions only grow, so the newest one must stay.
      redis.call('ZADD', key('feed'), position, '.')
    end
    redis.call('ZREM', key('feed'), id)
  end
  redis.call('DEL', key('v:' .. id), key('t:' .. id), key('f:' .. id), key('e:' .. id), key('reviewed:' .. id))
  redis.call('HSET', key('v:' .. id), Field.STAGE, 'erased', Field.ERASED_AT, digits(now))
  if reason then
    redis.call('HSET', key('v:' .. id), Field.REASON, reason)
  end
end
