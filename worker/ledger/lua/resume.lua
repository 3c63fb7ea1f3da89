-- No ARGV. Ends the region's rest now. Returns 1 if there was one, else 0.
local now = now_ms()
local held = hold_until(now) > 0
redis.call('DEL', key('hold'))
if held then
  -- What waited for the end of the rest is due now, and some dispatcher should know.
  wake()
end
return held and 1 or 0
