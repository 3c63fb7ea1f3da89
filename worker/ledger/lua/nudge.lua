-- ARGV: id, id, …
-- Makes verifications that wait to be polled due now. Returns for each id: 1 it is due, 0 it was not waiting to be polled.
local now = now_ms()
local answer = {}
for number, id in ipairs(ARGV) do
  local waits = redis.call('ZSCORE', key('due:polling'), id)
  if waits and tonumber(waits) > now then
    make_due(id, 'polling', now, now)
  end
  answer[number] = waits and 1 or 0
end
return answer
