-- ARGV: about, JSON list of deliveries: { { id, endpoint, type, body }, … }
-- Adds deliveries of events, due now. One that exists already stays as it is.
local now = now_before_writes()
add_deliveries(ARGV[1], cjson.decode(ARGV[2]), now)
return 1
