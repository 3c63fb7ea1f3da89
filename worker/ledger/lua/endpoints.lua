-- ARGV: endpoints that are configured
-- Writes nothing, so that a Redis that is full still answers; inside MULTI it would not.
-- Returns { now, { endpoint, { field, value, … }, waiting, due, first moment or nil, in flight, failed, acknowledged,
-- { '<ms>|<answer>', … } }, … }:
-- of the configured ones and of others that had a delivery here.
local now = now_ms()
local known, answer = {}, { now }
-- The most endpoints that are not configured, and the answers that are read of each: no script writes more of these.
local MOST_OTHERS, MOST_ANSWERS = 100, 20
local function add(endpoint)
  if known[endpoint] then
    return
  end
  known[endpoint] = true
  local due = key('due:webhook:' .. endpoint)
  answer[#answer + 1] = {
    endpoint,
    redis.call('HGETALL', key('endpoint:' .. endpoint)),
    redis.call('ZCARD', due),
    redis.call('ZCOUNT', due, '-inf', digits(now)),
    redis.call('ZRANGE', due, 0, 0, 'WITHSCORES')[2] or false,
    redis.call('ZCARD', key('leased:webhook:' .. endpoint)),
    redis.call('ZCARD', key('failed:webhook:' .. endpoint)),
    redis.call('ZCARD', key('acknowledged:webhook:' .. endpoint)),
    redis.call('LRANGE', key('answers:webhook:' .. endpoint), -MOST_ANSWERS, -1),
  }
end
for _, endpoint in ipairs(ARGV) do
  add(endpoint)
end
for _, endpoint in ipairs(redis.call('SMEMBERS', key('endpoints'))) do
  if #answer > #ARGV + MOST_OTHERS then
    break
  end
  add(endpoint)
end
return answer
