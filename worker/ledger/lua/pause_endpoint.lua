-- ARGV: endpoint, who, via, why, events about it: JSON list as of `add_deliveries.lua`
-- Stops the deliveries to an endpoint; they wait. Returns 1, or 0 if it is paused already.
local name, now = key('endpoint:' .. ARGV[1]), now_before_writes()
if redis.call('HGET', name, 'paused') then
  return 0
end
audit(now, 'endpoint_pause', ARGV[2], ARGV[3], ARGV[1], ARGV[4])
redis.call('SADD', key('endpoints'), ARGV[1])
redis.call('HSET', name, 'paused', digits(now), 'why', ARGV[4], 'who', ARGV[2])
add_to('webhook:paused:' .. ARGV[1], 1)
if ARGV[2] ~= '' then
  act(now, 'pause_endpoint', ARGV[1] .. ': ' .. ARGV[4], ARGV[2])
end
add_deliveries('', cjson.decode(ARGV[5]), now)
return 1
