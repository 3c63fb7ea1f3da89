-- ARGV: holder, lease_ms, id, id, …
-- Renews the lease of each id that the holder still holds. Returns how many these are.
local holder, lease = ARGV[1], tonumber(ARGV[2])
local now = now_ms()
local held = 0
for at = 3, #ARGV do
  local seen = fields_of(key('v:' .. ARGV[at]), Field.HOLDER)
  if seen and seen[1] == holder then
    redis.call('ZADD', key('leased'), digits(now + lease), ARGV[at])
    still_suspect(ARGV[at], lease)
    held = held + 1
  end
end
return held
