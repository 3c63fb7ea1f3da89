-- ARGV: in_ms, id, id, …
-- Makes verifications that wait to be polled due in `in_ms`, or when they are due anyway if that is sooner. One that is being
-- polled is due at once if its answer is null: the call may have been answered before what the nudge is about.
-- Returns for each id: 1 it is due by then, 0 it was not waiting to be polled.
local now = now_ms()
local at = now + tonumber(ARGV[1])
local answer = {}
for number = 2, #ARGV do
  local id = ARGV[number]
  local pipeline = turns.polling and redis.call('HGET', key('v:' .. id), Field.PIPELINE)
  local waits, set = due_at(id, 'polling', pipeline)
  if waits and tonumber(waits) > at then
    make_due(id, set, at, now)
  end
  answer[number - 1] = waits and 1 or 0
  if not waits and at == now and redis.call('ZSCORE', key('leased'), id) then
    local stage = redis.call('HGET', key('v:' .. id), Field.STAGE)
    if stage == 'polling' then
      redis.call('HSET', key('v:' .. id), Field.NUDGED, 1)
    end
  end
end
return answer
