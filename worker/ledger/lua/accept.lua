-- ARGV: identity for this ledger if it has none, identity of the ledger that it replaces ('' for none), who, via, events
--   about it: JSON list as of `add_deliveries.lua`
-- A person accepts this ledger as the replacement of another, or with an evidence store that has no note of it. Returns
-- its identity.
local ledger = redis.call('HMGET', key('ledger'), 'id', 'before')
local id = ledger[1] or ARGV[1]
local now = now_ms()
local said = ARGV[2] == '' and 'with another evidence store' or 'in place of ' .. ARGV[2]
if ARGV[2] ~= id then
  audit(now, 'ledger_accept', ARGV[3], ARGV[4], id, said)
end
redis.call('HSETNX', key('ledger'), 'id', id)
if ARGV[2] ~= id then
  act(now, 'accept', id .. ' ' .. said, ARGV[3])
  if ARGV[2] ~= '' then
    redis.call('HSET', key('ledger'), 'before', (ledger[2] and ledger[2] .. ' ' or '') .. ARGV[2])
    add_deliveries('', cjson.decode(ARGV[5]), now)
  end
end
redis.call('DEL', key('ledger:replaced'))
wake()
return id
