-- Brings an item's counters to what the tables contain, and keeps what has been written since.
-- ARGV: token and step of the publish, item, the time up to which events are only counted, their number, when the first
-- event became known and happened, the earliest time that can be answered, number of cancelled events; then (known,
-- identity) of each cancelled event, then (known, counted member) of each other event.
-- Returns 1.
local is_done, refusal = has_done_step(ARGV[1], tonumber(ARGV[2]))
if refusal then return refusal end
if is_done then return 1 end
local item, counted_until, n_older, known, time, given_earliest, n_cancelled = unpack(ARGV, 3, 9)
local key, at = item_key(item), 10
if not is_item_whole(item) then return break_off() end
redis.call('ZREMRANGEBYSCORE', key, '-inf', counted_until)

local is_cancelled = {}
for _ = 1, tonumber(n_cancelled) do
  put('ZADD', DEAD, ARGV[at], ARGV[at + 1])
  is_cancelled[ARGV[at + 1]] = true
  at = at + 2
end

merge_members(key, at, is_cancelled)

local _, _, _, earliest = item_totals(item)
local first_known, first_time = tonumber(known), tonumber(time)
if n_older == '0' then first_known, first_time = first_held_event(item) end
set_item_totals(item, tonumber(n_older), first_known, first_time, math.max(earliest, tonumber(given_earliest)))
advance_clock(tonumber(given_earliest))
commit()
return 1
