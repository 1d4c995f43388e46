-- Removes an item that the published tables do not contain, unless events of it have been written since.
-- ARGV: item, the time up to which events are only counted, the horizon.
-- Returns the number of items removed.
local item, counted_until, horizon = unpack(ARGV)
redis.call('ZREMRANGEBYSCORE', item_key(item), '-inf', counted_until)
if redis.call('EXISTS', item_key(item)) == 1 then return 0 end
local _, _, _, earliest = item_totals(item)
if earliest <= tonumber(horizon) then return redis.call('HDEL', ITEMS, item) end
-- It had events until a time that can still be read: such reads must be refused, so its earliest time has to stay.
set_item_totals(item, 0, math.huge, 0, earliest)
return 0
