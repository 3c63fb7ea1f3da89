-- ARGV: batch, stage, lease_ms, holder, the clock when this process last loaded (0: never), ms since then, id, id, …
-- Starts a batch. Returns { now, by how much it is ahead of Redis's clock }, then { id, { field, value, … } } for each
-- verification that the batch still holds at this stage and that no earlier message has started. Its lease starts over.
-- While the region is on hold, polling is given back unchanged.
local batch, stage, lease, holder = ARGV[1], ARGV[2], tonumber(ARGV[3]), ARGV[4]
local now = watched_now_ms(tonumber(ARGV[5]), tonumber(ARGV[6]))
local held = stage == 'polling' and hold_until(now) or 0
local ahead = math.floor(number_of(redis.call('HGET', key('clock'), 'ahead')) or 0)
local answer, leases = { { now, ahead } }, {}
-- Whether the batch holds a verification, given its hash: read as a whole, because it is mostly returned as a whole.
-- Returns its pipeline, its starts and the position of its holder.
local function read(flat)
  local found = {}
  for at = 1, #flat, 2 do
    found[flat[at]] = at + 1
  end
  local starts = number_of(flat[found[Field.STARTS]]) or 0
  if flat[found[Field.HOLDER]] == batch and flat[found[Field.STAGE]] == stage then
    return true, flat[found[Field.PIPELINE]], starts, found[Field.HOLDER]
  end
end

for at = 7, #ARGV do
  local id = ARGV[at]
  local verification = key('v:' .. id)
  local flat = unless(WRONG_TYPE, 'HGETALL', verification) or {}
  local is_held, pipeline, starts, held_at = read(flat)
  if is_held then
    if held > 0 then
      redis.call('HDEL', verification, Field.HOLDER)
      redis.call('ZREM', key('leased'), id)
      no_longer_suspect(id)
      end_probe(id)
      make_due(id, joined_set(stage, pipeline), now, now)
    else
      starts = starts + 1
      redis.call('HSET', verification, Field.HOLDER, holder, Field.STARTS, digits(starts))
      if starts > SUSPECT then
        redis.call('SET', key('suspect'), id, 'PX', digits(lease))
      end
      leases[#leases + 1] = digits(now + lease)
      leases[#leases + 1] = id
      flat[held_at] = holder
      answer[#answer + 1] = { id, flat }
    end
  end
end
if #leases > 0 then
  redis.call('ZADD', key('leased'), unpack(leases))
end
return answer
