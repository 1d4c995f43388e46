-- Adds identities of events that have an event_id.
-- ARGV: token and step of the publish; then (known, identity) of each event.
-- Returns 1.
local is_done, refusal = has_done_step(ARGV[1], tonumber(ARGV[2]))
if refusal then return refusal end
if is_done then return 1 end
for at = 3, #ARGV, 2 do put('ZADD', IDS, ARGV[at], ARGV[at + 1]) end
commit()
return 1
