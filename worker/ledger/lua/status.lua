-- ARGV: id
-- Writes nothing, so that a Redis out of memory still runs it, which it would not inside MULTI.
-- Returns { now, fields as a flat list, steps, faults, score in `leased`, `due:polling`, `due:archiving`, `due:routing` };
-- nil for each set that does not have the id.
local id = ARGV[1]
return {
  now_ms(),
  redis.call('HGETALL', key('v:' .. id)),
  redis.call('LRANGE', key('t:' .. id), 0, -1),
  redis.call('LRANGE', key('f:' .. id), 0, -1),
  redis.call('ZSCORE', key('leased'), id),
  redis.call('ZSCORE', key('due:polling'), id),
  redis.call('ZSCORE', key('due:archiving'), id),
  redis.call('ZSCORE', key('due:routing'), id),
}
