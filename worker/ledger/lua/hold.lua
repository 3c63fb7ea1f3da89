-- ARGV: for_ms, reason
-- Lets the region rest; a rest that ends later stays. Returns the moment at which it ends.
local now = now_ms()
local ends = now + tonumber(ARGV[1])
if hold_until(now) < ends then
  redis.call('HSET', key('hold'), 'until', digits(ends), 'reason', ARGV[2])
  redis.call('PEXPIREAT', key('hold'), digits(ends))
  redis.call('HINCRBY', key('counts'), 'hold:' .. ARGV[2], 1)
else
  ends = hold_until(now)
end
return ends
