-- ARGV: name of a sorted set, score, id, limit
-- Returns the members and scores, in the order of the set, of those after the id at the score; '' for the id: from the beginning.
-- The set may have lost the id, so its place is found by halves. Ids are compared by bytes, as Redis does it: the operators of
-- Lua compare by the locale. Writes nothing.
local set, score, id, limit = key(ARGV[1]), ARGV[2], ARGV[3], tonumber(ARGV[4])

local function is_after(member)
  for at = 1, math.min(#member, #id) do
    local mine, other = member:byte(at), id:byte(at)
    if mine ~= other then
      return mine > other
    end
  end
  return #member > #id
end

local low, high = 0, 0
if id ~= '' then
  low = redis.call('ZCOUNT', set, '-inf', '(' .. score)
  high = low + redis.call('ZCOUNT', set, score, score)
end
while low < high do
  local middle = math.floor((low + high) / 2)
  if is_after(redis.call('ZRANGE', set, middle, middle)[1]) then
    high = middle
  else
    low = middle + 1
  end
end
return redis.call('ZRANGE', set, low, low + limit - 1, 'WITHSCORES')
