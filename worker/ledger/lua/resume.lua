-- ARGV: who
-- Ends the region's rest now, and trusts the vendor again. Returns 1 if there was a rest, or one verification alone
-- tried the vendor, else 0.
local now = now_ms()
local resting = hold_until(now) > 0
local held = resting or redis.call('EXISTS', key('health')) == 1
if held then
  act(now, 'resume', resting and redis.call('HGET', key('hold'), 'reason') or 'it was half-open', ARGV[1])
end
-- The last refusal of a token, too, which nobody asks after for some seconds: it would order the next rest.
redis.call('DEL', key('hold'), key('health'), key('token:refused'))
forget_failures()
if held then
  -- What waited for the end of the rest is due now, and some dispatcher should know.
  wake()
end
return held and 1 or 0
