-- ARGV: who, act ('' for none), id, id, …
-- Records that a person redelivers decisions: `act` in the region's `acts`, and a line in the timeline of each verification
-- that the ledger still has. Returns the number of these.
local now, noted = now_ms(), 0
if ARGV[2] ~= '' then
  act(now, 'redeliver', ARGV[2], ARGV[1])
end
for at = 3, #ARGV do
  -- A line written to an expired timeline would never expire.
  if redis.call('EXISTS', key('t:' .. ARGV[at])) == 1 then
    note(ARGV[at], now, 'redelivered', '', ARGV[1])
    noted = noted + 1
  end
end
return noted
