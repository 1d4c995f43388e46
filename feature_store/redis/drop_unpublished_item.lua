-- Removes an item that the published tables do not contain, unless events of it have been written since.
-- ARGV: token and step of the publish, item, the time up to which events are only counted, the horizon.
-- Returns the number of items removed.
local is_done, refusal = has_done_step(ARGV[1], tonumber(ARGV[2]))
if refusal then return refusal end
if is_done then return 0 end
local item, counted_until, horizon = unpack(ARGV, 3)
if not is_item_whole(item) then return break_off() end

local n_removed = 0
redis.call('ZREMRANGEBYSCORE', item_key(item), '-inf', counted_until)
local n_older, first_known, first_time, earliest = item_totals(item)
if redis.call('EXISTS', item_key(item)) == 1 then
  set_item_totals(item, n_older, first_known, first_time, earliest)
elseif earliest <= tonumber(horizon) then
  n_removed = redis.call('HDEL', ITEMS, item)
else
  -- It had events until a time that can still be read: such reads must be refused, so its earliest time has to stay.
  set_item_totals(item, 0, math.huge, 0, earliest)
end
commit()
return n_removed
