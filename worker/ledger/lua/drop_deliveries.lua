-- ARGV: who, via, why, retention_ms, id, id, …
-- Ends deliveries without an acknowledgement: they are forgotten. A verification that waited for such a delivery alone is done.
-- Returns for each: 1 it has ended; 0 a worker is sending it, it is acknowledged, or it is not known.
local who, via, why, retention = ARGV[1], ARGV[2], ARGV[3], tonumber(ARGV[4])
local now = now_before_writes()
local answer, dropped = {}, {}
for at = 5, #ARGV do
  local id = ARGV[at]
  local delivery = key('webhook:' .. id)
  local seen = fields_of(delivery, 'endpoint', 'about', 'type') or {}
  local endpoint, about = seen[1], seen[2]
  local waits = endpoint and redis.call('ZSCORE', key('due:webhook:' .. endpoint), id)
  local failed = endpoint and redis.call('ZSCORE', key('failed:webhook:' .. endpoint), id)
  answer[#answer + 1] = (waits or failed) and 1 or 0
  if waits or failed then
    audit(now, 'delivery_drop', who, via, about ~= '' and about or endpoint, endpoint .. ' ' .. id .. ' ' .. why)
    redis.call('ZREM', key('due:webhook:' .. endpoint), id)
    redis.call('ZREM', key('failed:webhook:' .. endpoint), id)
    redis.call('DEL', delivery)
    add_to('webhook:dropped:' .. endpoint, 1)
    dropped[endpoint] = (dropped[endpoint] or 0) + 1
    if about ~= '' and redis.call('EXISTS', key('v:' .. about)) == 1 then
      note(about, now, 'delivery_dropped', endpoint .. ' ' .. why, who)
      if seen[3] == 'verification.decided' then
        acknowledge(about, endpoint, retention)
      end
    end
  end
end
for endpoint, count in pairs(dropped) do
  act(now, 'drop_deliveries', endpoint .. ': ' .. count .. ', ' .. why, who)
end
return answer
