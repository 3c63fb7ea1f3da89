-- ARGV: who, via, why, retention_ms, events: as of `requeue.lua`, id, id, …
-- Ends verifications in quarantine without a decision. Returns for each id: 1 it was in quarantine, 0 it was not; -1 its key is
-- damaged.
local now = now_before_writes(WRITTEN_BY_STATES)
local events = cjson.decode(ARGV[5])
for _, deliveries in pairs(events) do
  read_for_deliveries(deliveries)
end
local answer = {}
for at = 6, #ARGV do
  local id = ARGV[at]
  local verification = key('v:' .. id)
  local seen = fields_of(verification, Field.QUARANTINE_REASON)
  if not seen then
    answer[#answer + 1] = -1
  elseif redis.call('ZSCORE', key('quarantine'), id) then
    audit(now, 'quarantine_drop', ARGV[1], ARGV[2], id, ARGV[3])
    redis.call('ZREM', key('quarantine'), id)
    redis.call('HSET', verification, Field.STAGE, 'dropped')
    redis.call('HDEL', verification, Field.CONTEXT)
    leave_quarantine(seen[1])
    add_to('dropped', 1)
    note(id, now, 'dropped', ARGV[3], ARGV[1])
    expire(id, ARGV[4])
    if redis.call('EXISTS', key('log')) == 1 then
      queue_for_log(id, now)
    end
    add_deliveries(id, events[id] or {}, now)
    answer[#answer + 1] = 1
  else
    answer[#answer + 1] = 0
  end
end
return answer
