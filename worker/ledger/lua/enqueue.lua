-- ARGV: call, pipeline ('' for the default one), id, context, id, context, …   ('' for no context)
-- `call` identifies this call of a client. If it is sent again because the reply was lost, it gets the same answer.
-- Returns for each id: 1 it is new, 0 the ledger had it already and nothing changed.
local call, pipeline = ARGV[1], ARGV[2] ~= '' and ARGV[2]
local now = now_before_writes()
local answer = {}
-- Scores and ids of the new ones.
local due = {}
for at = 3, #ARGV, 2 do
  local id, context = ARGV[at], ARGV[at + 1]
  local verification = key('v:' .. id)
  if redis.call('EXISTS', verification) == 1 then
    -- A key that is no hash was written by somebody else: it must not stop the others of this call.
    answer[#answer + 1] = redis.pcall('HGET', verification, Field.CALL) == call and 1 or 0
  else
    local fields = { Field.STAGE, 'polling', Field.ENQUEUED_AT, digits(now), Field.CALL, call }
    if context ~= '' then
      fields[#fields + 1] = Field.CONTEXT
      fields[#fields + 1] = context
    end
    if pipeline then
      fields[#fields + 1] = Field.PIPELINE
      fields[#fields + 1] = pipeline
    end
    redis.call('HSET', verification, unpack(fields))
    due[#due + 1] = digits(now)
    due[#due + 1] = id
    answer[#answer + 1] = 1
  end
end
if #due > 0 then
  redis.call('ZADD', joined_set('polling', pipeline), unpack(due))
  add_to('enqueued', #due / 2)
  wake()
end
return answer
