-- ARGV: who, why, retention_ms, id, id, …
-- Ends verifications in quarantine without a decision. Returns for each id: 1 it was in quarantine, 0 it was not.
local now = now_ms()
local answer = {}
for at = 4, #ARGV do
  local id = ARGV[at]
  local verification = key('v:' .. id)
  if redis.call('ZREM', key('quarantine'), id) == 1 then
    redis.call('HSET', verification, Field.STAGE, 'dropped')
    redis.call('HDEL', verification, Field.CONTEXT)
    redis.call('HINCRBY', key('counts'), 'quarantine:' .. redis.call('HGET', verification, Field.QUARANTINE_REASON), -1)
    redis.call('HINCRBY', key('counts'), 'dropped', 1)
    note(id, now, 'dropped', ARGV[2], ARGV[1])
    expire(id, ARGV[3])
    answer[#answer + 1] = 1
  else
    answer[#answer + 1] = 0
  end
end
return answer
