-- ARGV: who
-- Ends the region's hold now and closes its breaker. Returns 1 if the region was on hold or half-open, else 0.
local now = now_ms()
local on_hold = hold_until(now) > 0
local held = on_hold or redis.call('EXISTS', key('health')) == 1
if held then
  act(now, 'resume', on_hold and redis.call('HGET', key('hold'), 'reason') or 'it was half-open', ARGV[1])
end
-- The stored refusal of a token also goes: it stands for some seconds and would order the next hold.
redis.call('DEL', key('hold'), key('health'), key('token:refused'))
forget_failures()
if held then
  -- What waited for the end of the hold is due now.
  wake()
end
return held and 1 or 0
