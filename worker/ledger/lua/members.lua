-- ARGV: name of a sorted set, score, id, limit
-- Returns the members and scores, in the order of the set, of those after the id at the score; '' for the id: from the beginning.
-- Writes nothing.
local set, score, id, limit = key(ARGV[1]), ARGV[2], ARGV[3], tonumber(ARGV[4])
local low = id == '' and 0 or rank_after(set, score, id)
return redis.call('ZRANGE', set, low, low + limit - 1, 'WITHSCORES')
