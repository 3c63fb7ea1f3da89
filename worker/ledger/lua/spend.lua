-- ARGV: rate (calls/s, 0: none)
-- Takes a permit for one vendor call beyond the claimed polls, and counts it. Returns 0, or the ms until there is a permit.
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
add_to('extra_calls', 1)
return 0
