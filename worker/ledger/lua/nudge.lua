-- ARGV: in_ms, who ('' for a pipeline), via, id, id, …
-- Makes verifications that wait to be polled due in `in_ms`, or when they are due anyway if that is sooner. One that is being
-- polled is due at once if its answer is null: the call may have been answered before what the nudge is about.
-- Returns for each id: 1 it is due by then, 0 it was not waiting to be polled; and 2 more if that is new, which has an entry in
-- the audit log.
local now = now_before_writes()
local at = now + tonumber(ARGV[1])
local answer = {}
for number = 4, #ARGV do
  local id = ARGV[number]
  local pipeline = turns.polling and (fields_of(key('v:' .. id), Field.PIPELINE) or {})[1]
  local waits, set = due_at(id, 'polling', pipeline)
  local is_sooner = waits and tonumber(waits) > at
  local is_polled = not waits and at == now and redis.call('ZSCORE', key('leased'), id)
  if is_polled then
    local seen = fields_of(key('v:' .. id), Field.STAGE, Field.NUDGED) or {}
    is_polled = seen[1] == 'polling' and not seen[2]
  end
  if is_sooner or is_polled then
    audit(now, 'nudge', ARGV[2], ARGV[3], id, waits and '' or 'it was being polled')
  end
  if is_sooner then
    make_due(id, set, at, now)
  elseif is_polled then
    redis.call('HSET', key('v:' .. id), Field.NUDGED, 1)
  end
  answer[number - 3] = (waits and 1 or 0) + ((is_sooner or is_polled) and 2 or 0)
end
return answer
