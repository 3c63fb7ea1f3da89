-- ARGV: for_ms, reason, who ('' for the fleet itself)
-- Puts the region on hold. A hold that ends later stays. Returns when the hold ends.
local now, for_ms, who = now_ms(), tonumber(ARGV[1]), ARGV[3]
if who ~= '' then
  local length = string.format('for %d s', math.floor(for_ms / 1000 + 0.5))
  local stays = hold_until(now) >= now + for_ms and ', but it is on hold for longer already' or ''
  act(now, 'hold', ARGV[2] .. ' (' .. length .. stays .. ')', who)
end
return hold(for_ms, ARGV[2], now, who ~= '' and 'BY_HAND' or nil)
