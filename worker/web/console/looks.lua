-- KEYS[1]: zset of the looks of one user, by when; ARGV: a new member, the most in an hour, the most in a day
-- Counts a look. Returns { the moment in ms, 0 }, or { the moment in ms, ms until there may be one more }.
local HOUR, DAY = 3600000, 86400000
local time = redis.call('TIME')
local now = time[1] * 1000 + math.floor(time[2] / 1000)
-- Times ahead of the clock are of a clock that was set back since.
redis.call('ZREMRANGEBYSCORE', KEYS[1], '-inf', now - DAY)
redis.call('ZREMRANGEBYSCORE', KEYS[1], now + 1000, '+inf')

-- The wait until fewer than `most` are within `span`.
local function wait(span, most)
  local count = redis.call('ZCOUNT', KEYS[1], '(' .. string.format('%.0f', now - span), '+inf')
  if count < most then
    return 0
  end
  local oldest = redis.call('ZRANGE', KEYS[1], -most, -most, 'WITHSCORES')
  return math.max(1, tonumber(oldest[2]) + span - now)
end

local left = math.max(wait(HOUR, tonumber(ARGV[2])), wait(DAY, tonumber(ARGV[3])))
if left == 0 then
  redis.call('ZADD', KEYS[1], string.format('%.0f', now), ARGV[1])
  redis.call('PEXPIRE', KEYS[1], DAY)
end
return { now, left }
