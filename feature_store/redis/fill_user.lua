-- A user's memory as the tables have it, joined with what has been written since.
-- ARGV: user, seconds to keep it, longest memory, 1 to join and 0 to leave what is there, events that are left out,
-- since when the rest became known, how many are gone and how many cancellations wait, then (gone or -inf, member)...,
-- (gone, identity, item)..., (known, member)...
local user, keep, longest, joins, left_out, edge, n_gone, n_waiting = unpack(ARGV, 1, 8)
local key, at = user_key(user), 9
longest = tonumber(longest)
if joins ~= '1' and is_held(user) then return 0 end
if left_out == '0' then
  redis.call('HDEL', DROPPED, user)
else
  redis.call('ZREMRANGEBYSCORE', key, '-inf', '(' .. edge)
  redis.call('HSET', DROPPED, user, left_out)
end
local given, is_gone = {}, {}
for _ = 1, tonumber(n_gone) do
  note_gone(user, ARGV[at], ARGV[at + 1], longest)
  if ARGV[at] ~= '-inf' then pass(tonumber(ARGV[at])) end
  is_gone[identity_of(ARGV[at + 1])] = true
  at = at + 2
end
local waiting = at
at = at + 3 * tonumber(n_waiting)
local any_dead = redis.call('EXISTS', DEAD) == 1
for place = at, #ARGV, 2 do
  local identity = identity_of(ARGV[place + 1])
  -- Taken back here, and the tables do not know of it yet.
  if any_dead and redis.call('ZSCORE', DEAD, identity) then is_gone[identity] = true end
  given[identity] = ARGV[place + 1]
end
for _, member in ipairs(redis.call('ZRANGE', key, 0, -1)) do
  local identity = identity_of(member)
  local theirs = given[identity]
  -- one identity: the tables say what it is
  if is_gone[identity] or (theirs and theirs ~= member) then redis.call('ZREM', key, member) end
end
for place = at, #ARGV, 2 do
  if not is_gone[identity_of(ARGV[place + 1])] then redis.call('ZADD', key, ARGV[place], ARGV[place + 1]) end
end
trim(user, longest)
for place = waiting, at - 1, 3 do
  take_back(user, ARGV[place + 2], ARGV[place + 1], tonumber(ARGV[place]), longest)
end
keep_alive(user, keep)
return 1
