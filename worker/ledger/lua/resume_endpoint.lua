-- ARGV: endpoint, who, via, at once, first call of a resumption: 1 or 0
-- Resumes an endpoint: what waits for it is due now, at most `at once` with each call, and its tries start over.
-- Returns { 1 if it was paused, how many deliveries were made due }.
local endpoint, at_once = ARGV[1], tonumber(ARGV[4])
local name, now = key('endpoint:' .. endpoint), now_before_writes()
local was_paused = redis.call('HGET', name, 'paused') and 1 or 0
if ARGV[5] == '1' then
  audit(now, 'endpoint_resume', ARGV[2], ARGV[3], endpoint, was_paused == 1 and '' or 'it was not paused')
  redis.call('HDEL', name, 'paused', 'why', 'who', 'failures', 'failing', 'trips', 'worst', 'held', 'window', 'slowed')
  redis.call('HSET', name, 'resumed', digits(now))
  if was_paused == 1 then
    act(now, 'resume_endpoint', endpoint, ARGV[2])
  end
end
local due = key('due:webhook:' .. endpoint)
local later = redis.call('ZRANGEBYSCORE', due, '(' .. digits(now), '+inf', 'LIMIT', 0, at_once)
for _, id in ipairs(later) do
  redis.call('ZADD', due, digits(now), id)
end
wake()
return { was_paused, #later }
