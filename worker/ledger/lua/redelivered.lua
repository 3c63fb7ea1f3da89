-- ARGV: who, via, act ('' for none), id, id, …
-- Records that a person redelivers decisions: `act` in the region's `acts`, an entry of the audit log for it and for each
-- verification, and a line in the timeline of each that the ledger still has. Returns the number of these.
local now, noted = now_before_writes(), 0
if ARGV[3] ~= '' then
  audit(now, 'decision_redeliver', ARGV[1], ARGV[2], '', ARGV[3])
end
for at = 4, #ARGV do
  audit(now, 'decision_redeliver', ARGV[1], ARGV[2], ARGV[at], '')
end
if ARGV[3] ~= '' then
  act(now, 'redeliver', ARGV[3], ARGV[1])
end
for at = 4, #ARGV do
  -- A line written to an expired timeline would never expire.
  if redis.call('EXISTS', key('t:' .. ARGV[at])) == 1 then
    note(ARGV[at], now, 'redelivered', '', ARGV[1])
    noted = noted + 1
  end
end
return noted
