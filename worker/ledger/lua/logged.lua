-- ARGV: seq, size, root, id, score, logged, id, score, logged, …
-- Notes the newest commit of the region's log, and takes ids out of the queue. `logged`: 1 an entry was added for it, 0 the log
-- had it already, or there is nothing to add. An id that was queued again since it was read, which has another score, stays.
-- Returns how many it took out.
if tonumber(ARGV[2]) > (number_of(redis.call('HGET', key('log'), 'size')) or -1) then
  redis.call('HSET', key('log'), 'seq', ARGV[1], 'size', ARGV[2], 'root', ARGV[3])
end
local taken, counted = 0, { logged = 0, skipped = 0 }
for at = 4, #ARGV, 3 do
  if redis.call('ZSCORE', key('log:pending'), ARGV[at]) == ARGV[at + 1] then
    redis.call('ZREM', key('log:pending'), ARGV[at])
    local word = ARGV[at + 2] == '1' and 'logged' or 'skipped'
    counted[word] = counted[word] + 1
    taken = taken + 1
  end
end
for word, by in pairs(counted) do
  if by > 0 then
    increased(key('log'), word, by)
  end
end
return taken
