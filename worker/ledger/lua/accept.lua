-- ARGV: identity for this ledger if it has none, identity of the ledger that it replaces, who
-- A person accepts this ledger as the replacement of another. Returns its identity.
redis.call('HSETNX', key('ledger'), 'id', ARGV[1])
local ledger = redis.call('HMGET', key('ledger'), 'id', 'before')
if ARGV[2] ~= ledger[1] then
  redis.call('HSET', key('ledger'), 'before', (ledger[2] and ledger[2] .. ' ' or '') .. ARGV[2])
  local now = now_ms()
  act(now, 'accept', ledger[1] .. ' in place of ' .. ARGV[2], ARGV[3])
end
redis.call('DEL', key('ledger:replaced'))
wake()
return ledger[1]
