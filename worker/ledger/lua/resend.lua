-- ARGV: who, via, name of the act in the audit log, id, id, …
-- Makes deliveries due now, with all their tries, whatever became of them.
-- Returns for each: 1 it is due; 0 a worker is sending it, or it is not known.
local now = now_before_writes()
local answer = {}
for at = 4, #ARGV do
  local id = ARGV[at]
  local delivery = key('webhook:' .. id)
  local seen = fields_of(delivery, 'endpoint', 'holder', 'about') or {}
  if not seen[1] or seen[2] then
    answer[#answer + 1] = 0
  else
    audit(now, ARGV[3], ARGV[1], ARGV[2], seen[3] ~= '' and seen[3] or seen[1], seen[1] .. ' ' .. id)
    -- An acknowledged delivery expires; a new key does not.
    local fields = redis.call('HGETALL', delivery)
    redis.call('DEL', delivery)
    redis.call('HSET', delivery, unpack(fields))
    redis.call('HDEL', delivery, 'tries', 'first', 'starts', 'acknowledged')
    redis.call('HSET', delivery, 'state', 'waiting')
    redis.call('ZREM', key('failed:webhook:' .. seen[1]), id)
    redis.call('ZREM', key('acknowledged:webhook:' .. seen[1]), id)
    if seen[3] ~= '' and redis.call('EXISTS', key('v:' .. seen[3])) == 1 then
      note(seen[3], now, 'resent', seen[1], ARGV[1])
    end
    make_delivery_due(id, seen[1], now, now)
    answer[#answer + 1] = 1
  end
end
return answer
