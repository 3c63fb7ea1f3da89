-- ARGV: reason ('' for all), since when, id ('' for none), until when, limit, '1' to return the verifications, else ''
-- Looks at verifications in quarantine, the oldest first, from those after the id that were put there at that time: at most
-- `limit`, and none that was put there later than `until`. Writes nothing.
-- Returns { clock, number that it looked at, time and id of the last one, { reason, count, oldest, newest, … },
-- { id, since, reason, enqueued, polls, … } }; the lists are of those with the reason.
local now = now_ms()
local set, reason, last = key('quarantine'), ARGV[1], tonumber(ARGV[4])
local low = rank_after(set, ARGV[2], ARGV[3])
local found = redis.call('ZRANGE', set, low, low + tonumber(ARGV[5]) - 1, 'WITHSCORES')
local answer, tallies, reasons, entries = { now, 0, 0, '' }, {}, {}, {}
for at = 1, #found, 2 do
  local id, since = found[at], tonumber(found[at + 1])
  if since > last then
    break
  end
  answer[2], answer[3], answer[4] = answer[2] + 1, since, id
  local seen = fields_of(key('v:' .. id), Field.QUARANTINE_REASON, Field.ENQUEUED_AT, Field.POLLS) or {}
  local why = seen[1] or ''
  if reason == '' or reason == why then
    local tally = tallies[why]
    if not tally then
      tally = { 0, since, since }
      tallies[why] = tally
      reasons[#reasons + 1] = why
    end
    tally[1], tally[3] = tally[1] + 1, since
    if ARGV[6] == '1' then
      entries[#entries + 1] = { id, since, why, seen[2] or '0', seen[3] or '0' }
    end
  end
end
local flat = {}
for _, why in ipairs(reasons) do
  flat[#flat + 1] = { why, unpack(tallies[why]) }
end
answer[5], answer[6] = flat, entries
return answer
