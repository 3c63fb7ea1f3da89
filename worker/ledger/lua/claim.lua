-- ARGV: batch id, limit, lease_ms, rate (calls/s, 0: none), most starts, dispatcher id, longest sleep_ms, grace_ms,
--   retention_ms, expected identity ('' for any), the clock at this dispatcher's last claim (0: none), ms since then,
--   logs = '1' if the log of evidence is kept
-- If the ledger is not the expected one, claims nothing and returns
--   { -1, now, identity, identities before it, since when it is another }. Otherwise returns
--   { sleep_ms, now, act, { { id, { field, value, … } }, … }, { { id, stage, worker }, … }, { id, … },
--     { batch id, stage, id, … }, … }:
--   for how long nothing more will be due, the newest act of a person on the region ('' for none), verifications put
--   into quarantine, as they were before, leases that ended, verifications whose keys have another
--   type than a hash, and the batches claimed.
-- How long `ledger:replaced` is kept, and how often the clock is stored, in ms.
local REPLACED_FOR = 30000
local CLOCK_EVERY = 1000
-- Lines of `minutes`: 60 whole minutes lie between the first and the last of 61, and a line more is spare.
local MINUTES = 62

local base, limit, lease, rate = ARGV[1], tonumber(ARGV[2]), tonumber(ARGV[3]), tonumber(ARGV[4])
local most_starts, dispatcher = tonumber(ARGV[5]), ARGV[6]
local longest_sleep, grace, retention = tonumber(ARGV[7]), tonumber(ARGV[8]), tonumber(ARGV[9])
local expected = ARGV[10]
local now, seen = watched_now_ms(tonumber(ARGV[11]), tonumber(ARGV[12]))
local batches, killers, expired, damaged = {}, {}, {}, {}

if expected ~= '' then
  local ledger = redis.call('HMGET', key('ledger'), 'id', 'before')
  if ledger[1] ~= expected then
    if ledger[2] and string.find(ledger[2], expected, 1, true) then
      return { -1, now, ledger[1], ledger[2], 0 }
    end
    local noted = string.match(redis.call('GET', key('ledger:replaced')) or '', '^' .. expected .. '|(%d+)$')
    local since = noted or digits(now)
    redis.call('SET', key('ledger:replaced'), expected .. '|' .. since, 'PX', REPLACED_FOR)
    return { -1, now, ledger[1] or '', ledger[2] or '', tonumber(since) }
  end
end
if now - seen >= CLOCK_EVERY then
  redis.pcall('HSET', key('clock'), 'seen', digits(now))
end

-- For how long a verification waits whose key has another type than a hash, in ms: somebody else wrote it, `ekyc doctor` names
-- it, and meanwhile it stops nobody.
local DAMAGED_FOR = 60000

-- Let a verification with such a key wait in the set that it was found in.
local function set_aside(id, set)
  redis.call('ZADD', set, digits(now + DAMAGED_FOR), id)
  redis.call('ZADD', key('damaged'), digits(now), id)
  redis.call('PEXPIRE', key('damaged'), 10 * DAMAGED_FOR)
  damaged[#damaged + 1] = id
end

-- Leases that ended: their batch crashed, or its message was lost. A verification that was started `most_starts` times
-- without an outcome kills workers.
local ended = redis.call('ZRANGEBYSCORE', key('leased'), '-inf', digits(now), 'LIMIT', 0, limit)
for _, id in ipairs(ended) do
  redis.call('ZREM', key('leased'), id)
  end_probe(id)
  local seen = fields_of(key('v:' .. id), Field.STAGE, Field.STARTS, Field.DECISION, Field.HOLDER, Field.PIPELINE)
  if not seen then
    set_aside(id, key('leased'))
  elseif is_taken_at(seen[1]) then
    local starts = number_of(seen[2]) or 0
    -- Empty if its message was lost or is not read yet.
    local worker = string.match(seen[4] or '', '^[^/]*/[^/]*/(.*)$') or ''
    if starts >= SUSPECT then
      no_longer_suspect(id)
    end
    if starts >= most_starts and seen[3] and seen[1] ~= 'routing' then
      -- The pipeline has its decision: missing evidence needs no person.
      note(id, now, 'given_up', 'CRASHES_WORKERS', worker)
      finish(id, retention, redis.call('HGET', key('v:' .. id), Field.DELIVERIES) and now)
      if ARGV[13] == '1' then
        queue_for_log(id, now)
      end
    elseif starts >= most_starts then
      killers[#killers + 1] = { id, redis.call('HGETALL', key('v:' .. id)) }
      quarantine(id, 'CRASHES_WORKERS', now, worker)
    else
      redis.call('HDEL', key('v:' .. id), Field.HOLDER)
      redis.call('ZADD', joined_set(seen[1], seen[5]), digits(now), id)
      add_to('lease_expired', 1)
      note(id, now, 'lease_expired', seen[1], worker)
      expired[#expired + 1] = { id, seen[1], worker }
    end
  end
end

-- How many verifications that were in one crash share a batch.
local SURVIVORS = 8
-- How long a suspect is delayed while another suspect is in flight, in ms.
local AFTER_A_SUSPECT = 500

-- A crash ends everything that its process has in flight, whatever the batch. So of the verifications with several
-- crashes only one at a time is in flight, which shows the one that causes them.
local function may_go(id)
  if redis.call('PTTL', key('suspect')) > lease then
    -- Redis's clock went back, so the key would outlive its lease.
    redis.call('DEL', key('suspect'))
  end
  return redis.call('SET', key('suspect'), id, 'NX', 'PX', digits(lease)) ~= false
end

-- How many of `most` each pipeline may give now: { pipeline, number }, …. Those that have something due give equally many.
-- What does not divide goes by turns, and the next claim begins with the pipeline after the last one that got a turn.
local function shares(stage, most)
  if not turns[stage] then
    return { { DEFAULT, most } }
  end
  local found, open, last = {}, {}, nil
  for pipeline in in_turn(stage) do
    local due = redis.call('ZCOUNT', due_set(stage, pipeline), '-inf', digits(now))
    if due > 0 then
      found[#found + 1] = { pipeline, 0, due }
      open[#open + 1] = found[#found]
      if #open == most then
        break
      end
    end
  end
  while most > 0 and #open > 0 do
    local each, still = math.max(1, math.floor(most / #open)), {}
    for _, share in ipairs(open) do
      local more = math.min(each, most, share[3] - share[2])
      if more > 0 then
        share[2], most, last = share[2] + more, most - more, share[1]
      end
      if share[2] < share[3] then
        still[#still + 1] = share
      end
    end
    open = still
  end
  if last then
    local list = turns[stage]
    local _, stop = string.find(list, ' ' .. last .. ' ', 1, true)
    store_turns(stage, ' ' .. string.sub(list, stop + 1) .. string.sub(list, 2, stop))
  end
  return found
end

-- The bounds of `POLL_LATENESS` in `worker/ledger/histograms.py`, in seconds.
local LATENESS = { '0.05', '0.25', '1', '5', '15', '60', '300', '3600' }

-- Counts how late a claim polls: one counter for each claim, because one for each verification costs more.
local function count_lateness(late_ms)
  local bucket = 'inf'
  for _, bound in ipairs(LATENESS) do
    if late_ms <= bound * 1000 then
      bucket = bound
      break
    end
  end
  add_to('took:poll_lateness:' .. bucket, 1)
end

-- Returns how many verifications it took, the id of the last one, and, of polls, when the oldest one was due.
local function take(stage, most)
  local together = { base .. string.sub(stage, 1, 1), stage }
  local survivors
  local taken, newest, oldest_due = 0, nil, nil

  local leases = {}

  local function put(id, starts)
    -- After one crash a verification shares a batch with few, after a second crash it is alone. So the one that kills
    -- workers takes ever fewer with it, and the others are not delayed by batches of one.
    local batch = together
    if starts > 1 or (starts == 1 and (not survivors or #survivors >= 2 + SURVIVORS)) then
      batch = { together[1] .. #batches, stage }
      batches[#batches + 1] = batch
    end
    if starts == 1 then
      if batch == together then
        batch = survivors
      else
        survivors = batch
      end
    end
    batch[#batch + 1] = id
    redis.call('HSET', key('v:' .. id), Field.HOLDER, batch[1])
    leases[#leases + 1] = digits(now + lease)
    leases[#leases + 1] = id
    taken, newest = taken + 1, id
  end

  for _, share in ipairs(shares(stage, most)) do
    local set = due_set(stage, share[1])
    local ids = redis.call('ZRANGEBYSCORE', set, '-inf', digits(now), 'LIMIT', 0, share[2])
    if stage == 'polling' and ids[1] then
      oldest_due = math.min(oldest_due or math.huge, tonumber(redis.call('ZSCORE', set, ids[1])))
    end
    local going, suspects, starts = {}, {}, {}
    for _, id in ipairs(ids) do
      local seen = fields_of(key('v:' .. id), Field.STARTS)
      if seen then
        starts[id] = number_of(seen[1]) or 0
        local list = starts[id] < SUSPECT and going or suspects
        list[#list + 1] = id
      else
        set_aside(id, set)
      end
    end
    if #going > 0 then
      -- Before all other writes: a Redis without memory allows this one, and then the others.
      redis.call('ZREM', set, unpack(going))
    end
    for _, id in ipairs(suspects) do
      if may_go(id) then
        redis.call('ZREM', set, id)
        going[#going + 1] = id
      else
        redis.call('ZADD', set, digits(now + AFTER_A_SUSPECT), id)
      end
    end
    for _, id in ipairs(going) do
      put(id, starts[id])
    end
  end
  if #leases > 0 then
    redis.call('ZADD', key('leased'), unpack(leases))
  end
  if #together > 2 then
    batches[#batches + 1] = together
  end
  return taken, newest, oldest_due
end

-- While the breaker is half-open one verification at a time probes the vendor.
local health = redis.call('HMGET', key('health'), 'trips', 'probe')
local tripped, probing_until = tonumber(health[1]), number_of(health[2]) or 0
local on_hold_until, hold_ended = hold_until(now)
local held = math.max(on_hold_until, tripped and probing_until > now and probing_until or 0)
local free, next_permit = permits(rate, now)
take('routing', limit)
take('archiving', limit)
if held == 0 and free > 0 then
  local taken, newest, oldest_due = take('polling', tripped and 1 or math.min(limit, free))
  if taken > 0 then
    -- The time of a hold does not count, unless a person ended it, which leaves no trace here.
    count_lateness(now - math.max(oldest_due, hold_ended))
  end
  spend(rate, taken, now)
  free, next_permit = permits(rate, now)
  if tripped and taken > 0 then
    held = now + lease
    redis.call('HSET', key('health'), 'probe', digits(held), 'by', newest)
  end
end

-- Adds a line to `minutes`, from which `worker/ledger/hour.py` computes the rates and the delays of the last hour.
local function note_minute(counters)
  local decided, counted, took = 0, {}, {}
  for at = 1, #counters, 2 do
    local name, count = counters[at], counters[at + 1]
    if string.sub(name, 1, 5) == 'took:' then
      took[#took + 1] = string.sub(name, 6) .. '=' .. count
    elseif string.sub(name, 1, 9) == 'decision:' then
      decided = decided + (tonumber(count) or 0)
    else
      counted[name] = count
    end
  end
  local line = { digits(now), counted.enqueued or 0, counted.polls or 0, digits(decided), counted.lease_expired or 0 }
  redis.call('RPUSH', key('minutes'), table.concat(line, '|') .. '|' .. table.concat(took, ' '))
  redis.call('LTRIM', key('minutes'), -MINUTES, -1)
  redis.call('PEXPIRE', key('minutes'), MINUTES * 60000)
end

-- The counters are copied once a minute, so that the growth in the last minutes can be computed.
local copy = key('counts:' .. math.floor(now / 60000))
if redis.call('EXISTS', copy) == 0 then
  local counters = redis.call('HGETALL', key('counts'))
  redis.call('HSET', copy, 'at', digits(now))
  -- In pieces: Lua passes a few thousand arguments at most.
  for at = 1, #counters, 1000 do
    redis.call('HSET', copy, unpack(counters, at, math.min(at + 999, #counters)))
  end
  redis.call('PEXPIRE', copy, 480000)
  note_minute(counters)
end

-- The next moment at which a claim can take something.
local upcoming = math.huge
local function consider(set, not_before)
  local first = redis.call('ZRANGE', set, 0, 0, 'WITHSCORES')
  if first[2] then
    upcoming = math.min(upcoming, math.max(tonumber(first[2]), not_before))
  end
  return first[2]
end
for _, stage in ipairs(STAGES) do
  local not_before = stage == 'polling' and math.max(held, free > 0 and 0 or next_permit) or 0
  consider(key('due:' .. stage), not_before)
  if turns[stage] then
    local kept, seen_here = {}, {}
    for pipeline in in_turn(stage) do
      -- A pipeline whose set is empty, which only a claim makes it, has no turn until it has something again.
      if not seen_here[pipeline] and (pipeline == DEFAULT or consider(due_set(stage, pipeline), not_before)) then
        kept[#kept + 1] = pipeline
      end
      seen_here[pipeline] = true
    end
    store_turns(stage, ' ' .. table.concat(kept, ' ') .. ' ')
  end
end
consider(key('leased'), 0)

local sleep = longest_sleep
if upcoming <= now then
  -- More is due than one claim may take: wake another dispatcher.
  wake()
  sleep = 0
elseif upcoming < math.huge then
  -- One dispatcher wakes for it. The others sleep a little longer, in case that dispatcher dies.
  local alarm = redis.call('HMGET', key('alarm'), 'at', 'by')
  local at = number_of(alarm[1])
  if at and alarm[2] ~= dispatcher and at <= upcoming and at + grace > now then
    sleep = at + grace - now
  else
    redis.call('HSET', key('alarm'), 'at', digits(upcoming), 'by', dispatcher)
    sleep = upcoming - now
  end
end
return { math.min(sleep, longest_sleep), now, redis.call('LINDEX', key('acts'), -1) or '', killers, expired, damaged, unpack(batches) }
