-- ARGV: id, number and verdict, who, via, JSON list of deliveries of the event
-- Records a review: an entry of the audit log, a line in the timeline of the verification if the ledger still has it, and the
-- event. Repeating it within a week changes nothing. Returns 0 for an erased verification, otherwise 1.
local now = now_before_writes()
local id, detail = ARGV[1], ARGV[2]
if redis.call('HGET', key('v:' .. id), Field.STAGE) == 'erased' then
  return 0
end
if not redis.call('HGET', key('reviewed:' .. id), detail) then
  audit(now, 'verdict', ARGV[3], ARGV[4], id, detail)
  -- A line written to an expired timeline would never expire.
  if redis.call('EXISTS', key('t:' .. id)) == 1 then
    note(id, now, 'reviewed', detail, ARGV[3])
  end
  -- Last: if one of these fails, the next call repeats them.
  redis.call('HSET', key('reviewed:' .. id), detail, digits(now))
  redis.call('PEXPIRE', key('reviewed:' .. id), 604800000)
end
add_deliveries(id, cjson.decode(ARGV[5]), now)
return 1
