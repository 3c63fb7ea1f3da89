-- ARGV: holder, endpoint, lease_ms, id, id, …
-- Renews the lease of each delivery that the holder still holds. Returns how many these are.
local holder, leased, lease = ARGV[1], key('leased:webhook:' .. ARGV[2]), tonumber(ARGV[3])
local now = now_ms()
local held = 0
for at = 4, #ARGV do
  local seen = fields_of(key('webhook:' .. ARGV[at]), 'holder')
  if seen and seen[1] == holder then
    redis.call('ZADD', leased, digits(now + lease), ARGV[at])
    held = held + 1
  end
end
return held
