-- ARGV: batch, stage, lease_ms, holder, the clock when this process last loaded (0: never), ms since then, id, id, …
-- Starts a batch. Returns { now, by how much it is ahead of Redis's clock }, then { id, { field, value, … } } for each
-- verification that the batch still holds at this stage and that no earlier message has started. Its lease starts over.
-- While the region is on hold, polling is given back unchanged.
local batch, stage, lease, holder = ARGV[1], ARGV[2], tonumber(ARGV[3]), ARGV[4]
local now = watched_now_ms(tonumber(ARGV[5]), tonumber(ARGV[6]))
local held = stage == 'polling' and hold_until(now) or 0
local ahead = math.floor(tonumber(redis.call('HGET', key('clock'), 'ahead')) or 0)
local answer, leases = { { now, ahead } }, {}
for at = 7, #ARGV do
  local id = ARGV[at]
  local verification = key('v:' .. id)
  local seen = redis.call('HMGET', verification, Field.HOLDER, Field.STAGE, Field.PIPELINE)
  if seen[1] == batch and seen[2] == stage then
    if held > 0 then
      redis.call('HDEL', verification, Field.HOLDER)
      redis.call('ZREM', key('leased'), id)
      no_longer_suspect(id)
      end_probe(id)
      make_due(id, joined_set(stage, seen[3]), now, now)
    else
      redis.call('HSET', verification, Field.HOLDER, holder)
      if redis.call('HINCRBY', verification, Field.STARTS, 1) > SUSPECT then
        redis.call('SET', key('suspect'), id, 'PX', digits(lease))
      end
      leases[#leases + 1] = digits(now + lease)
      leases[#leases + 1] = id
      answer[#answer + 1] = { id, redis.call('HGETALL', verification) }
    end
  end
end
if #leases > 0 then
  redis.call('ZADD', key('leased'), unpack(leases))
end
return answer
