-- KEYS: one bucket each; ARGV: 'take' or 'return', then for each bucket: attempts at once, ms after which one more is free
-- GCRA, the generic cell rate algorithm, by Redis's clock. An attempt takes a place of every bucket, or of none.
-- Returns the ms until one is free in every bucket; 0: it was taken.
local time = redis.call('TIME')
local now = time[1] * 1000 + time[2] / 1000
local arrivals, wait = {}, 0

for index, key in ipairs(KEYS) do
  local at_once, interval = tonumber(ARGV[2 * index]), tonumber(ARGV[2 * index + 1])
  -- Not later than it can be: the clock may have been set back.
  arrivals[index] = math.min(math.max(tonumber(redis.call('GET', key)) or now, now), now + at_once * interval)
  if ARGV[1] == 'take' then
    wait = math.max(wait, arrivals[index] - now - (at_once - 1) * interval)
    arrivals[index] = arrivals[index] + interval
  else
    arrivals[index] = arrivals[index] - interval
  end
end

-- The times are stored to a microsecond.
if wait > 0.001 then
  return math.ceil(wait)
end
for index, key in ipairs(KEYS) do
  if arrivals[index] > now then
    redis.call('SET', key, string.format('%.3f', arrivals[index]), 'PX', string.format('%.0f', math.ceil(arrivals[index] - now)))
  else
    redis.call('DEL', key)
  end
end
return 0
