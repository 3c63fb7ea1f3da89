-- ARGV: who, via, events about it: JSON list as of `add_deliveries.lua`
-- Ends the region's hold now and closes its breaker. Returns 1 if the region was on hold or half-open, else 0.
local now = now_before_writes(WRITTEN_BY_ACTS)
local events = cjson.decode(ARGV[3])
read_for_deliveries(events)
local on_hold = hold_until(now) > 0
local held = on_hold or redis.call('EXISTS', key('health')) == 1
if held then
  local detail = on_hold and redis.call('HGET', key('hold'), 'reason') or 'it was half-open'
  audit(now, 'region_resume', ARGV[1], ARGV[2], '', detail)
  act(now, 'resume', detail, ARGV[1])
end
-- The stored refusal of a token also goes: it stands for some seconds and would order the next hold.
redis.call('DEL', key('hold'), key('health'), key('token:refused'))
forget_failures()
if held then
  -- What waited for the end of the hold is due now.
  wake()
  add_deliveries('', events, now)
end
return held and 1 or 0
