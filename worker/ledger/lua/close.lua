-- ARGV: id, when its business relationship ended (epoch ms; 0: now), how far that may be ahead of the clock, in ms
-- Notes a closing for a worker to store. Of several the latest one counts. Returns that time; -1 for an erased
-- verification; -2 if the time is in the future.
local now = now_before_writes()
local at = tonumber(ARGV[2])
if at == 0 then
  at = now
end
if at > now + tonumber(ARGV[3]) then
  return -2
end
if redis.call('HGET', key('v:' .. ARGV[1]), Field.STAGE) == 'erased' then
  return -1
end
local noted = tonumber(redis.call('ZSCORE', key('closings'), ARGV[1])) or 0
if noted <= LATEST then
  at = math.max(at, noted)
end
redis.call('ZADD', key('closings'), digits(at), ARGV[1])
return at
