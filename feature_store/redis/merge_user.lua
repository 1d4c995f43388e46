-- Brings a user's memory to what the tables contain, and keeps what has been written since.
-- ARGV: user, seconds to keep the user, most events held, 1 to merge or 0 to leave a user who is held, number of older
-- events that are left out, when the oldest event that is not left out became known, number of cancelled events, number
-- of cancellations that wait for their event; then (cancelled_at or -inf, member) of each cancelled event, then
-- (cancelled_at, identity, item) of each waiting cancellation, then (known, member) of each other event.
-- Returns 1, or 0 if the user was left as held.
local user, keep, max_held, merges, n_left_out, oldest_given, n_cancelled, n_waiting = unpack(ARGV, 1, 8)
local key, at = user_key(user), 9
max_held = tonumber(max_held)
if merges ~= '1' and is_held(user) then return 0 end

if n_left_out == '0' then
  redis.call('HDEL', DROPPED, user)
else
  redis.call('ZREMRANGEBYSCORE', key, '-inf', '(' .. oldest_given)
  redis.call('HSET', DROPPED, user, n_left_out)
end

local is_cancelled = {}
for _ = 1, tonumber(n_cancelled) do
  remember_cancelled(user, ARGV[at], ARGV[at + 1], max_held)
  if ARGV[at] ~= '-inf' then advance_clock(tonumber(ARGV[at])) end
  is_cancelled[identity_of(ARGV[at + 1])] = true
  at = at + 2
end

local waiting_from = at
at = at + 3 * tonumber(n_waiting)

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
trim_memory(user, max_held)

for place = waiting_from, at - 1, 3 do
  cancel_event(user, ARGV[place + 2], ARGV[place + 1], tonumber(ARGV[place]), max_held)
end
keep_alive(user, keep)
return 1
