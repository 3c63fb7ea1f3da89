-- ARGV: batch id, lease_ms, most starts, dispatcher id, longest sleep_ms, grace_ms, most in flight of an endpoint, then for
--   each endpoint: name, limit, rate (requests/s, 0: none)
-- Claims due deliveries, separately for each endpoint: what one endpoint has waiting is never in the way of another.
-- Returns { sleep_ms, { id, endpoint }, …} of deliveries that were given up because they end workers, then
--   { batch id, endpoint, id, … } for each endpoint of which something was claimed.
local base, lease, most_starts, dispatcher = ARGV[1], tonumber(ARGV[2]), tonumber(ARGV[3]), ARGV[4]
local longest_sleep, grace, full = tonumber(ARGV[5]), tonumber(ARGV[6]), tonumber(ARGV[7])
local now = now_ms()
local batches, given_up = {}, {}
local upcoming = math.huge

-- For how long a delivery waits whose key is damaged, in ms.
local DAMAGED_FOR = 60000

-- Leases of one endpoint that one claim takes back.
local ENDED_AT_ONCE = 100

local function take_back(endpoint)
  local leased = key('leased:webhook:' .. endpoint)
  for _, id in ipairs(redis.call('ZRANGEBYSCORE', leased, '-inf', digits(now), 'LIMIT', 0, ENDED_AT_ONCE)) do
    local delivery = key('webhook:' .. id)
    local seen = fields_of(delivery, 'starts', 'about')
    redis.call('ZREM', leased, id)
    if not seen then
      redis.call('ZADD', key('due:webhook:' .. endpoint), digits(now + DAMAGED_FOR), id)
    else
      redis.call('HDEL', delivery, 'holder')
    end
    if seen and seen[2] then
      add_to('webhook:lease_expired:' .. endpoint, 1)
      if (number_of(seen[1]) or 0) >= most_starts then
        fail_delivery(id, endpoint, seen[2], 'CRASHES_WORKERS', now)
        given_up[#given_up + 1] = { id, endpoint }
      else
        redis.call('ZADD', key('due:webhook:' .. endpoint), digits(now), id)
      end
    end
  end
end

local function first(name)
  return tonumber(redis.call('ZRANGE', key(name), 0, 0, 'WITHSCORES')[2])
end

local function take(endpoint, limit, rate, window)
  local due, leased = key('due:webhook:' .. endpoint), key('leased:webhook:' .. endpoint)
  local tat = 'tat:webhook:' .. endpoint
  local most = math.min(limit, (window or full) - redis.call('ZCARD', leased), (permits(rate, now, tat)))
  local batch = { base .. '-' .. #batches, endpoint }
  if most > 0 then
    for _, id in ipairs(redis.call('ZRANGEBYSCORE', due, '-inf', digits(now), 'LIMIT', 0, most)) do
      if fields_of(key('webhook:' .. id), 'holder') then
        redis.call('ZREM', due, id)
        redis.call('HSET', key('webhook:' .. id), 'holder', batch[1])
        redis.call('ZADD', leased, digits(now + lease), id)
        batch[#batch + 1] = id
      else
        redis.call('ZADD', due, digits(now + DAMAGED_FOR), id)
      end
    end
  end
  if #batch > 2 then
    spend(rate, #batch - 2, now, tat)
    batches[#batches + 1] = batch
  end
  local free, next_permit = permits(rate, now, tat)
  local at = first('due:webhook:' .. endpoint)
  -- Without a free place nothing more is due until a delivery is recorded, which wakes a dispatcher, or its lease ends.
  if at and redis.call('ZCARD', leased) < (window or full) then
    upcoming = math.min(upcoming, math.max(at, free > 0 and 0 or next_permit))
  end
end

-- Whether a key of an endpoint has another type: `ekyc doctor` names it, and the other endpoints go on.
local function is_damaged(endpoint)
  if unless(WRONG_TYPE, 'GET', key('tat:webhook:' .. endpoint)) == nil or not fields_of(key('endpoint:' .. endpoint), 'held') then
    return true
  end
  for _, set in ipairs({ 'due:webhook:', 'leased:webhook:', 'failed:webhook:' }) do
    if not unless(WRONG_TYPE, 'ZCARD', key(set .. endpoint)) then
      return true
    end
  end
end

local function claim(endpoint, limit, rate)
  take_back(endpoint)
  local state = redis.call('HMGET', key('endpoint:' .. endpoint), 'paused', 'held', 'window')
  local held = number_of(state[2]) or 0
  if not state[1] then
    if held > now then
      if first('due:webhook:' .. endpoint) then
        upcoming = math.min(upcoming, math.max(held, first('due:webhook:' .. endpoint)))
      end
    else
      take(endpoint, limit, rate, window_of(state[3]))
    end
  end
  upcoming = math.min(upcoming, first('leased:webhook:' .. endpoint) or math.huge)
end

for at = 8, #ARGV, 3 do
  if not is_damaged(ARGV[at]) then
    claim(ARGV[at], tonumber(ARGV[at + 1]), tonumber(ARGV[at + 2]))
  end
end

local sleep = longest_sleep
if upcoming <= now then
  wake()
  sleep = 0
elseif upcoming < math.huge then
  -- One dispatcher wakes for it, as in `claim.lua`.
  local alarm = redis.call('HMGET', key('alarm:webhook'), 'at', 'by')
  local at = number_of(alarm[1])
  if at and alarm[2] ~= dispatcher and at <= upcoming and at + grace > now then
    sleep = at + grace - now
  else
    redis.call('HSET', key('alarm:webhook'), 'at', digits(upcoming), 'by', dispatcher)
    sleep = upcoming - now
  end
end
return { math.min(sleep, longest_sleep), given_up, unpack(batches) }
