-- ARGV: id, '1' if the evidence store has something of it, else '', '1' if it is erased because it is over age, else '',
-- who ('': no entry of the audit log), via, why, id of a delivery of its decision, its endpoint, …
-- The first step of an erasure: removes what the ledger has of a verification, and leaves a mark. The mark does not expire
-- before `erased`. Returns 'marked', 'again' (it was marked before), 'legal_hold', 'closing', 'under_way' or 'unknown'.
local id = ARGV[1]
local verification = key('v:' .. id)
local now = now_before_writes(WRITTEN_BY_STATES)
local deliveries = {}
for at = 7, #ARGV do
  deliveries[at - 6] = ARGV[at]
end

-- The entry of the audit log comes before the first change.
local function begin()
  audit(now, 'evidence_erase_begin', ARGV[4], ARGV[5], id, ARGV[6])
  redis.call('ZADD', key('erasing'), digits(now), id)
end

-- A key of another type ends the script here, before it has changed anything.
redis.call('SCARD', key('e:' .. id))
if redis.call('ZSCORE', key('legal_holds'), id) then
  return 'legal_hold'
end
local stage = redis.call('HGET', verification, Field.STAGE)
if stage == 'erased' then
  begin()
  -- A new hash does not expire.
  local at = redis.call('HGET', verification, Field.ERASED_AT)
  redis.call('DEL', verification)
  redis.call('HSET', verification, Field.STAGE, stage, Field.ERASED_AT, at, Field.REASON, 'ERASING')
  return 'again'
end
if ARGV[3] == '1' and (redis.call('ZSCORE', key('closings'), id) or redis.call('ZSCORE', key('closings:stored'), id)) then
  -- The age was judged without that closing time.
  return 'closing'
end
if not stage and ARGV[2] == '' then
  return 'unknown'
end
if stage == 'delivering' then
  -- A delivery that was given up waits for a person, which may be for ever; any other one is still being sent.
  for at = 1, #deliveries, 2 do
    local state = redis.call('HGET', key('webhook:' .. deliveries[at]), 'state')
    if state == 'waiting' then
      return 'under_way'
    end
  end
  begin()
  add_to('done', 1)
elseif stage == 'quarantined' then
  begin()
  leave_quarantine(redis.call('HGET', verification, Field.QUARANTINE_REASON))
  add_to('dropped', 1)
elseif stage and stage ~= 'done' and stage ~= 'dropped' then
  return 'under_way'
else
  begin()
end
erase(id, deliveries, now, 'ERASING')
return 'marked'
