-- ARGV: batch, stage, lease_ms, retention_ms, worker, JSON list of writes:
--   { id, to = stage that follows, place = 'due' | 'held' | 'done' | 'quarantine' | 'same', in_ms, reason,
--     set = { field: value }, count = { counter: n }, event, detail }
--   due: wait in_ms; held: go on in the same batch; same: stay as it is, under the same holder
-- The fence: a write for a verification that this batch does not hold at this stage changes nothing.
-- Returns for each write: 1 it was made, 0 it was not.
local batch, stage, lease, retention, worker = ARGV[1], ARGV[2], tonumber(ARGV[3]), tonumber(ARGV[4]), ARGV[5]
local holder = batch .. '/' .. stage
local now = now_ms()
local answer = {}

local place = {}

function place.same(write)
  redis.call('ZADD', key('leased'), digits(now + lease), write.id)
end

function place.held(write)
  redis.call('HSET', key('v:' .. write.id), 's', write.to, 'b', batch)
  redis.call('HDEL', key('v:' .. write.id), 'c')
  redis.call('ZADD', key('leased'), digits(now + lease), write.id)
end

function place.due(write)
  redis.call('ZREM', key('leased'), write.id)
  redis.call('HDEL', key('v:' .. write.id), 'b', 'c')
  redis.call('HSET', key('v:' .. write.id), 's', write.to)
  make_due(write.id, write.to, now + write.in_ms, now)
end

function place.done(write)
  redis.call('ZREM', key('leased'), write.id)
  redis.call('HDEL', key('v:' .. write.id), 'b', 'c', 'x')
  redis.call('HSET', key('v:' .. write.id), 's', 'done')
  redis.call('HINCRBY', key('counts'), 'done', 1)
  redis.call('PEXPIRE', key('v:' .. write.id), digits(retention))
end

function place.quarantine(write)
  redis.call('ZREM', key('leased'), write.id)
  quarantine(write.id, write.reason, now, worker)
  redis.call('HSET', key('v:' .. write.id), 's', 'quarantined')
end

for number, write in ipairs(cjson.decode(ARGV[6])) do
  local verification = key('v:' .. write.id)
  if redis.call('HGET', verification, 'b') ~= holder then
    answer[number] = 0
  else
    for name, value in pairs(write.set) do
      redis.call('HSET', verification, name, value)
    end
    for counter, by in pairs(write.count) do
      redis.call('HINCRBY', key('counts'), counter, by)
    end
    if write.event == 'settled' then
      redis.call('HSET', verification, 'z', digits(now))
    end
    if write.event then
      note(write.id, now, write.event, write.detail, worker)
    end
    place[write.place](write)
    if write.place == 'done' then
      redis.call('PEXPIRE', key('t:' .. write.id), digits(retention))
    end
    answer[number] = 1
  end
end
return answer
