-- ARGV: limit, for how long the caller has the turn, in ms
-- Returns { number of removed members, id, when it was closed, … } for the worker whose turn it is; nothing for any other.
-- Members that `close` never writes are removed: they would stop a worker before the others.
if redis.call('ZCARD', key('closings')) == 0 then
  return {}
end
if not redis.call('SET', key('closings:turn'), '1', 'NX', 'PX', ARGV[2]) then
  return {}
end
local removed = redis.call('ZREMRANGEBYSCORE', key('closings'), '-inf', 0)
  + redis.call('ZREMRANGEBYSCORE', key('closings'), '(' .. digits(LATEST), '+inf')
local found = redis.call('ZRANGE', key('closings'), 0, tonumber(ARGV[1]) - 1, 'WITHSCORES')
local answer = { 0 }
for at = 1, #found, 2 do
  local id, when = found[at], tonumber(found[at + 1])
  if #id <= 64 and string.find(id, '^[%w_-]+$') and when == math.floor(when) then
    answer[#answer + 1] = id
    answer[#answer + 1] = digits(when)
  else
    redis.call('ZREM', key('closings'), id)
    removed = removed + 1
  end
end
answer[1] = removed
if #answer == 1 then
  redis.call('DEL', key('closings:turn'))
end
return answer
