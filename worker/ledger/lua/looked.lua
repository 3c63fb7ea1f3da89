-- ARGV: act, its name in the audit log, detail, who, via, id, id, …
-- Records that a person read evidence: the act in the region's `acts`, an entry of the audit log for each verification, and a
-- line in the timeline of each that the ledger still has. Returns the number of these.
local now, noted = now_before_writes(), 0
for at = 6, #ARGV do
  audit(now, ARGV[2], ARGV[4], ARGV[5], ARGV[at], ARGV[3])
end
act(now, ARGV[1], ARGV[3], ARGV[4])
for at = 6, #ARGV do
  -- A line written to an expired timeline would never expire.
  if redis.call('EXISTS', key('t:' .. ARGV[at])) == 1 then
    note(ARGV[at], now, 'looked', ARGV[3], ARGV[4])
    noted = noted + 1
  end
end
return noted
