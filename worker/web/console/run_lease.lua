-- KEYS: the hash of a run, its lease; ARGV: the lease of the caller, the ms for which to renew it, or 0 to give it back
-- Returns 'lost': another thread has the run, or has ended it; 'stop': a person asked to stop it; or 'held'.
local holder = redis.call('GET', KEYS[2])
if holder ~= ARGV[1] then
  -- After an expired lease the run may have been continued and ended by another thread.
  if holder or redis.call('HGET', KEYS[1], 'state') ~= 'running' then
    return 'lost'
  end
end
if ARGV[2] == '0' then
  redis.call('DEL', KEYS[2])
else
  redis.call('SET', KEYS[2], ARGV[1], 'PX', ARGV[2])
end
return redis.call('HGET', KEYS[1], 'stop') and 'stop' or 'held'
