-- ARGV: who, via, events: JSON object of lists as of `add_deliveries.lua`, by the id that they are about; id, id, …
-- Takes verifications out of quarantine, due now at their former stage, with a new deadline.
-- Returns for each id: 1 it was in quarantine, 0 it was not, or no script has put it there; -1 its key is damaged.
local now = now_before_writes(WRITTEN_BY_STATES)
local events = cjson.decode(ARGV[3])
for _, deliveries in pairs(events) do
  read_for_deliveries(deliveries)
end
local answer = {}
for at = 4, #ARGV do
  local id = ARGV[at]
  local verification = key('v:' .. id)
  local seen = fields_of(verification, Field.QUARANTINED_FROM, Field.QUARANTINE_REASON, Field.PIPELINE)
  if not seen then
    answer[#answer + 1] = -1
  elseif is_taken_at(seen[1]) and redis.call('ZSCORE', key('quarantine'), id) then
    local reason = seen[2] or ''
    audit(now, 'quarantine_retry', ARGV[1], ARGV[2], id, reason)
    redis.call('ZREM', key('quarantine'), id)
    redis.call('HSET', verification, Field.STAGE, seen[1], Field.RETRIED_AT, digits(now))
    local counts = { Field.NULLS, Field.FAULTS, Field.LATE_FAULTS, Field.STARTS, Field.LOSSES }
    redis.call('HDEL', verification, Field.QUARANTINE_REASON, Field.QUARANTINED_FROM, unpack(counts))
    if reason == 'CRASHES_WORKERS' then
      -- As after a second crash: its batch has no other verification.
      redis.call('HSET', verification, Field.STARTS, 2)
    end
    leave_quarantine(seen[2])
    note(id, now, 'retried', reason, ARGV[1])
    make_due(id, joined_set(seen[1], seen[3]), now, now)
    add_deliveries(id, events[id] or {}, now)
    answer[#answer + 1] = 1
  else
    answer[#answer + 1] = 0
  end
end
return answer
