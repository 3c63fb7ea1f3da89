-- ARGV: batch, endpoint, lease_ms, holder, id, id, …
-- Starts a batch of deliveries. Returns { now, { id, { field, value, … } }, … } of those that the batch still holds and that
-- no earlier message has started. Their leases start over. What a paused endpoint has is given back unchanged.
local batch, endpoint, lease, holder = ARGV[1], ARGV[2], tonumber(ARGV[3]), ARGV[4]
local now = now_ms()
local answer, leases = { now }, {}
local state = redis.call('HMGET', key('endpoint:' .. endpoint), 'paused', 'resumed')
local resumed = number_of(state[2]) or 0
for at = 5, #ARGV do
  local id = ARGV[at]
  local delivery = key('webhook:' .. id)
  local seen = fields_of(delivery, 'holder', 'first')
  if seen and seen[1] == batch then
    if state[1] then
      redis.call('HDEL', delivery, 'holder')
      redis.call('ZREM', key('leased:webhook:' .. endpoint), id)
      redis.call('ZADD', key('due:webhook:' .. endpoint), digits(now), id)
    else
      if (number_of(seen[2]) or now) < resumed then
        -- Its tries start over with the endpoint.
        redis.call('HDEL', delivery, 'first', 'tries')
      end
      redis.call('HSET', delivery, 'holder', holder)
      increased(delivery, 'starts', 1)
      leases[#leases + 1] = digits(now + lease)
      leases[#leases + 1] = id
      answer[#answer + 1] = { id, redis.call('HGETALL', delivery) }
    end
  end
end
if #leases > 0 then
  redis.call('ZADD', key('leased:webhook:' .. endpoint), unpack(leases))
end
return answer
