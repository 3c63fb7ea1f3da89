-- ARGV: who, act ('' for none), id, id, …
-- Notes what a person had delivered once more: `act` in the region's record, and a line in the timeline of each
-- verification that is still remembered. Returns how many those are.
local now, noted = now_ms(), 0
if ARGV[2] ~= '' then
  act(now, 'redeliver', ARGV[2], ARGV[1])
end
for at = 3, #ARGV do
  -- A line for a timeline that has expired would never expire.
  if redis.call('EXISTS', key('t:' .. ARGV[at])) == 1 then
    note(ARGV[at], now, 'redelivered', '', ARGV[1])
    noted = noted + 1
  end
end
return noted
