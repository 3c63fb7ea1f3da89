-- ARGV: rate (calls/s, 0: none)
-- Takes the right to one vendor call beyond the polls that are claimed, and counts it. Returns 0, or for how many ms there
-- is none.
local rate = tonumber(ARGV[1])
local now = now_ms()
local held = hold_until(now)
local free, next_permit = permits(rate, now)
if held > 0 then
  return held - now
end
if free == 0 then
  return next_permit - now
end
spend(rate, 1, now)
redis.call('HINCRBY', key('counts'), 'extra_calls', 1)
return 0
