-- ARGV: id, '1' to hold, '' to release
-- Returns 1 if it was done; 0 if the verification is erased, or being erased.
local now = now_before_writes()
if ARGV[2] == '' then
  redis.call('ZREM', key('legal_holds'), ARGV[1])
  return 1
end
if redis.call('HGET', key('v:' .. ARGV[1]), Field.STAGE) == 'erased' then
  return 0
end
if not redis.call('ZSCORE', key('legal_holds'), ARGV[1]) then
  redis.call('ZADD', key('legal_holds'), digits(now), ARGV[1])
end
return 1
