-- No ARGV. Writes nothing, so that a Redis out of memory still runs it, which it would not inside MULTI.
-- Returns { now, counts, hold, health, { quarantined, delivering }, leased, due:polling, due:archiving, due:routing }: hashes
-- as flat lists, and of each set but the first two { members, members whose time has come, the first time or nil }.
local now = now_ms()

local function set(name)
  return {
    redis.call('ZCARD', key(name)),
    redis.call('ZCOUNT', key(name), '-inf', digits(now)),
    redis.call('ZRANGE', key(name), 0, 0, 'WITHSCORES')[2] or false,
  }
end

return {
  now,
  redis.call('HGETALL', key('counts')),
  redis.call('HGETALL', key('hold')),
  redis.call('HGETALL', key('health')),
  { redis.call('ZCARD', key('quarantine')), redis.call('ZCARD', key('delivering')) },
  set('leased'),
  set('due:polling'),
  set('due:archiving'),
  set('due:routing'),
}
