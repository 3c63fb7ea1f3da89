-- ARGV: position, limit, rewind
-- Writes nothing, so that a Redis that is full still answers; inside MULTI it would not.
-- Returns { position read from, highest position removed, newest position, { id, position, decision, signature }, … }:
-- the decisions after the position, in their order; '' for a decision that has expired, or that has no signature; nil for one
-- whose key is damaged. A position beyond the newest one is from before a failover that lost the end of the feed: reading begins
-- at `rewind` before the newest.
local after, limit = tonumber(ARGV[1]), tonumber(ARGV[2])
local newest = newest_position()
if newest and after > newest then
  after = math.max(newest - tonumber(ARGV[3]), 0)
end
local answer = { digits(after), redis.call('GET', key('feed:gone')) or '0', digits(newest or 0) }
local above, below = '(' .. digits(after), '(' .. digits(EXACT)
local found = redis.call('ZRANGEBYSCORE', key('feed'), above, below, 'WITHSCORES', 'LIMIT', 0, limit)
for at = 1, #found, 2 do
  -- `.` is a decision that was erased.
  if found[at] ~= '.' then
    local kept = fields_of(key('v:' .. found[at]), Field.DECISION, Field.DECISION_SIGNATURE)
    local text, signature = kept and (kept[1] or ''), kept and (kept[2] or '')
    answer[#answer + 1] = { found[at], digits(tonumber(found[at + 1])), text or false, signature or false }
  end
end
return answer
