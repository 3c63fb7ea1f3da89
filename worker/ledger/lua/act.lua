-- ARGV: act, its name in the audit log ('' for no entry), detail, who, via, subject, subject, …
-- Records what a person did to the region as a whole, and an entry of the audit log for each subject.
local now = now_before_writes(WRITTEN_BY_ACTS)
if ARGV[2] ~= '' then
  for at = 6, math.max(#ARGV, 6) do
    audit(now, ARGV[2], ARGV[4], ARGV[5], ARGV[at] or '', ARGV[3])
  end
end
act(now, ARGV[1], ARGV[3], ARGV[4])
return 1
