-- ARGV: id, id, …
-- Queues verifications for the region's log. Returns how many were not queued already.
local now, new = now_before_writes(), 0
for _, id in ipairs(ARGV) do
  new = new + queue_for_log(id, now)
end
return new
