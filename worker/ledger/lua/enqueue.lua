-- ARGV: call, pipeline ('' for the default one), id, context, id, context, …   ('' for no context)
-- `call` identifies this call of a client. If it is sent again because the reply was lost, it gets the same answer.
-- Returns for each id: 1 it is new, 0 the ledger had it already and nothing changed.
local call, pipeline = ARGV[1], ARGV[2] ~= '' and ARGV[2]
local now = now_ms()
local answer = {}
local new = 0
for at = 3, #ARGV, 2 do
  local id, context = ARGV[at], ARGV[at + 1]
  local verification = key('v:' .. id)
  if redis.call('EXISTS', verification) == 1 then
    answer[#answer + 1] = redis.call('HGET', verification, Field.CALL) == call and 1 or 0
  else
    redis.call('HSET', verification, Field.STAGE, 'polling', Field.ENQUEUED_AT, digits(now), Field.CALL, call)
    if context ~= '' then
      redis.call('HSET', verification, Field.CONTEXT, context)
    end
    if pipeline then
      redis.call('HSET', verification, Field.PIPELINE, pipeline)
    end
    redis.call('ZADD', joined_set('polling', pipeline), digits(now), id)
    answer[#answer + 1] = 1
    new = new + 1
  end
end
if new > 0 then
  redis.call('HINCRBY', key('counts'), 'enqueued', new)
  wake()
end
return answer
