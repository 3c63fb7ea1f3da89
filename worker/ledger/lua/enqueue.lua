-- ARGV: id, context, id, context, …   ('' for no context)
-- Returns for each id: 1 it is new, 0 it was known and nothing changed.
local now = now_ms()
local answer = {}
local new = 0
for at = 1, #ARGV, 2 do
  local id, context = ARGV[at], ARGV[at + 1]
  local verification = key('v:' .. id)
  if redis.call('EXISTS', verification) == 1 then
    answer[#answer + 1] = 0
  else
    redis.call('HSET', verification, 's', 'polling', 'e', digits(now))
    if context ~= '' then
      redis.call('HSET', verification, 'x', context)
    end
    redis.call('ZADD', key('due:polling'), digits(now), id)
    answer[#answer + 1] = 1
    new = new + 1
  end
end
if new > 0 then
  redis.call('HINCRBY', key('counts'), 'enqueued', new)
  wake()
end
return answer
