-- ARGV: id
-- Writes nothing, so that a Redis that is full still answers; inside MULTI it would not.
-- Returns { now, fields as a flat list, steps, faults, moment in `leased`, in `due:polling`, `due:archiving`, `due:routing` };
-- nil where the id is in no such set.
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
