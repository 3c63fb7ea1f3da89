-- KEYS[1]: of one token; ARGV: requests per window, window in ms, requests wanted
-- GCRA, the generic cell rate algorithm, by Redis's clock: the requests of a window may come at once, and the place of each is
-- free again a window's share later. Returns { requests admitted, requests left, ms until one more is admitted, ms until all are }.
local quota, window, wanted = tonumber(ARGV[1]), tonumber(ARGV[2]), tonumber(ARGV[3])
local time = redis.call('TIME')
local now = time[1] * 1000 + time[2] / 1000
local interval = window / quota
local arrival = math.max(tonumber(redis.call('GET', KEYS[1])) or now, now)

local function store()
  redis.call('SET', KEYS[1], string.format('%.3f', arrival), 'PX', string.format('%.0f', math.ceil(arrival - now)))
end

if arrival > now + window + 1 then
  -- The clock was set back: the token must not be locked out until it is where it was.
  arrival = now + window
  store()
end

local function free()
  -- The times are stored to a microsecond.
  return math.floor((now + window - arrival) / interval + 0.001)
end

local admitted = math.min(wanted, free())
if admitted <= 0 then
  return { 0, 0, math.ceil(arrival + interval - now - window), math.ceil(arrival - now) }
end
arrival = arrival + admitted * interval
store()
return { admitted, math.max(free(), 0), 0, math.ceil(arrival - now) }
