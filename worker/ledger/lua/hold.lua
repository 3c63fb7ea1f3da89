-- ARGV: for_ms, reason, who ('' for the fleet itself), via, events about it: JSON list as of `add_deliveries.lua`, `until` is null
-- Puts the region on hold. A hold that ends later stays, and is no event. Returns when the hold ends.
local now, for_ms, who = now_before_writes(WRITTEN_BY_ACTS), tonumber(ARGV[1]), ARGV[3]
local events = cjson.decode(ARGV[5])
read_for_deliveries(events)
if who ~= '' then
  local length = string.format('for %d s', math.floor(for_ms / 1000 + 0.5))
  local stays = hold_until(now) >= now + for_ms and ', but it is on hold for longer already' or ''
  local detail = ARGV[2] .. ' (' .. length .. stays .. ')'
  audit(now, 'region_hold', who, ARGV[4], '', detail)
  act(now, 'hold', detail, who)
end
local before = hold_until(now)
local ends = hold(for_ms, ARGV[2], now, who ~= '' and 'BY_HAND' or nil)
if ends > before then
  announce_hold(events, ends, now)
end
return ends
