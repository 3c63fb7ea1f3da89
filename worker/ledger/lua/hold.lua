-- ARGV: for_ms, reason, who ('' for the fleet itself)
-- Lets the region rest; a rest that ends later stays. Returns the moment at which it ends.
local now = now_ms()
if ARGV[3] ~= '' then
  act(now, 'hold', ARGV[2], ARGV[3])
end
return hold(tonumber(ARGV[1]), ARGV[2], now, ARGV[3] ~= '' and 'BY_HAND' or nil)
