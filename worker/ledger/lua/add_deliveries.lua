-- ARGV: about, JSON list of deliveries: { { id, endpoint, type, body }, … }
-- Adds deliveries of events, due now. One that exists already stays as it is.
local now = now_before_writes()
local deliveries = cjson.decode(ARGV[2])
read_for_deliveries(deliveries)
add_deliveries(ARGV[1], deliveries, now)
return 1
