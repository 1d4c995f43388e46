-- Brings an item's counters to what the tables contain, and keeps what has been written since.
-- ARGV: item, the time up to which events are only counted, their number, when the first event became known and
-- happened, the earliest time that can be answered, number of cancelled events; then (known, identity) of each cancelled
-- event, then (known, counted member) of each other event.
-- Returns 1.
local item, counted_until, n_older, known, time, given_earliest, n_cancelled = unpack(ARGV, 1, 7)
local key, at = item_key(item), 8
redis.call('ZREMRANGEBYSCORE', key, '-inf', counted_until)

local is_cancelled = {}
for _ = 1, tonumber(n_cancelled) do
  redis.call('ZADD', DEAD, ARGV[at], ARGV[at + 1])
  is_cancelled[ARGV[at + 1]] = true
  at = at + 2
end

local given = {} -- identity -> member
local any_dead = redis.call('EXISTS', DEAD) == 1
for place = at, #ARGV, 2 do
  local identity = identity_of(ARGV[place + 1])
  -- Cancelled here, by a cancellation that the tables do not contain yet.
  if any_dead and redis.call('ZSCORE', DEAD, identity) then is_cancelled[identity] = true end
  given[identity] = ARGV[place + 1]
end

-- Members that are cancelled, or that the tables describe differently, give way.
for _, member in ipairs(redis.call('ZRANGE', key, 0, -1)) do
  local identity = identity_of(member)
  if is_cancelled[identity] or (given[identity] and given[identity] ~= member) then redis.call('ZREM', key, member) end
end
for place = at, #ARGV, 2 do
  if not is_cancelled[identity_of(ARGV[place + 1])] then redis.call('ZADD', key, ARGV[place], ARGV[place + 1]) end
end

local _, _, _, earliest = item_totals(item)
local first_known, first_time = tonumber(known), tonumber(time)
if n_older == '0' then first_known, first_time = first_held_event(item) end
set_item_totals(item, tonumber(n_older), first_known, first_time, math.max(earliest, tonumber(given_earliest)))
advance_clock(tonumber(given_earliest))
return 1
