-- ARGV: id
-- Writes nothing, so that a Redis out of memory still runs it, which it would not inside MULTI.
-- Returns { now, fields as a flat list, steps, faults, score in `leased`, when it is due to be polled, archived, routed };
-- nil where it is not.
local id = ARGV[1]
local now = now_ms()
local fields = redis.call('HGETALL', key('v:' .. id))
local pipeline
for at = 1, #fields, 2 do
  if fields[at] == Field.PIPELINE then
    pipeline = fields[at + 1]
  end
end
return {
  now,
  fields,
  redis.call('LRANGE', key('t:' .. id), -MOST_READ, -1),
  redis.call('LRANGE', key('f:' .. id), -MOST_READ, -1),
  redis.call('ZSCORE', key('leased'), id),
  due_at(id, 'polling', pipeline) or false,
  due_at(id, 'archiving', pipeline) or false,
  due_at(id, 'routing', pipeline) or false,
}
