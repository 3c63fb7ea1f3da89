-- KEYS[1] is `ekyc:`, or the prefix of a region.
-- ARGV: name of the stream without the prefix, the caller's clock in ms, then fields and values
-- Adds an entry to the audit log for an act that is no script of the ledger.
local entry = {}
for at = 3, #ARGV do
  entry[at - 2] = ARGV[at]
end
add_to_audit(ARGV[1], now_ms(), tonumber(ARGV[2]), entry)
return 1
