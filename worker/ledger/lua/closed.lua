-- ARGV: id, when it was closed, …
-- Removes the closings that a worker has stored, except those for which another time was noted since. For some minutes
-- they stay in `closings:stored`: a sweep may have judged the age by what was stored before.
local STORED_KEPT = 600000
local now = now_ms()
for at = 1, #ARGV, 2 do
  if tonumber(redis.call('ZSCORE', key('closings'), ARGV[at])) == tonumber(ARGV[at + 1]) then
    redis.call('ZREM', key('closings'), ARGV[at])
    redis.call('ZADD', key('closings:stored'), digits(now), ARGV[at])
  end
end
redis.call('ZREMRANGEBYSCORE', key('closings:stored'), '-inf', digits(now - STORED_KEPT))
redis.call('PEXPIRE', key('closings:stored'), STORED_KEPT)
redis.call('DEL', key('closings:turn'))
return 1
