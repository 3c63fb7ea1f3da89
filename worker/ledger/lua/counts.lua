-- No ARGV. Writes nothing, so that a Redis out of memory still runs it, which it would not inside MULTI.
-- Returns { now, counts, hold, health, { quarantined, delivering }, leased, due:polling, due:archiving, due:routing,
-- { { stage, pipeline, … }, … } }: hashes as flat lists, and of each set but the first two { members, members whose time has
-- come, the first time or nil }; at the end the same of the due sets of named pipelines.
local now = now_ms()

local function set(name)
  return {
    redis.call('ZCARD', name),
    redis.call('ZCOUNT', name, '-inf', digits(now)),
    redis.call('ZRANGE', name, 0, 0, 'WITHSCORES')[2] or false,
  }
end

local named = {}
for _, stage in ipairs(STAGES) do
  for pipeline in in_turn(stage) do
    if pipeline ~= DEFAULT then
      named[#named + 1] = { stage, pipeline, unpack(set(due_set(stage, pipeline))) }
    end
  end
end

return {
  now,
  redis.call('HGETALL', key('counts')),
  redis.call('HGETALL', key('hold')),
  redis.call('HGETALL', key('health')),
  { redis.call('ZCARD', key('quarantine')), redis.call('ZCARD', key('delivering')) },
  set(key('leased')),
  set(due_set('polling')),
  set(due_set('archiving')),
  set(due_set('routing')),
  named,
}
