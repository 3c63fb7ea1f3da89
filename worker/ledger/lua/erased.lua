-- ARGV: id, retention_ms
-- The last step of an erasure: the mark expires after the retention. From then on the evidence store alone knows.
local verification = key('v:' .. ARGV[1])
now_before_writes()
redis.call('ZREM', key('erasing'), ARGV[1])
if redis.call('HGET', verification, Field.STAGE) == 'erased' then
  redis.call('HDEL', verification, Field.REASON)
  expire(ARGV[1], ARGV[2])
end
return 1
