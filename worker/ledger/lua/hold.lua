-- ARGV: for_ms, reason, who ('' for the fleet itself)
-- Lets the region rest; a rest that ends later stays. Returns the moment at which it ends.
local now, for_ms, who = now_ms(), tonumber(ARGV[1]), ARGV[3]
if who ~= '' then
  local length = string.format('for %d s', math.floor(for_ms / 1000 + 0.5))
  local stays = hold_until(now) >= now + for_ms and ', but it rests for longer already' or ''
  act(now, 'hold', ARGV[2] .. ' (' .. length .. stays .. ')', who)
end
return hold(for_ms, ARGV[2], now, who ~= '' and 'BY_HAND' or nil)
