-- Brings a user's memory to what the tables contain, and keeps what has been written since.
-- ARGV: token and step of the publish and ''; or, for a user whom the server has dropped, '', settings and store; then
-- user, seconds to keep the user, most events held, 1 to merge or 0 to leave a user who is held, number of older events
-- that are left out, when the oldest event that is not left out became known, number of cancelled events, number of
-- cancellations that wait for their event; then (cancelled_at or -inf, member) of each cancelled event, then
-- (cancelled_at, identity, item) of each waiting cancellation, then (known, member) of each other event.
-- Returns 1, or 0 if the user was left as held.
local token = ARGV[1]
local ready, refusal
if token == '' then
  ready, refusal = published_meta(ARGV[2], ARGV[3])
else
  ready, refusal = has_done_step(token, tonumber(ARGV[2]))
  if ready then return 1 end
end
if refusal then return refusal end

local user, keep, max_held, merges, n_left_out, oldest_given, n_cancelled, n_waiting = unpack(ARGV, 4, 11)
local key, at = user_key(user), 12
max_held = tonumber(max_held)
if not is_user_whole(user) then
  if token == '' then return redis.error_reply('RECMEM evicted user ' .. user) end
  return break_off()
end
if merges ~= '1' and is_held(user) then return 0 end

if n_left_out == '0' then
  redis.call('HDEL', DROPPED, user)
else
  redis.call('ZREMRANGEBYSCORE', key, '-inf', '(' .. oldest_given)
  put('HSET', DROPPED, user, n_left_out)
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

merge_members(key, at, is_cancelled)
trim_memory(user, max_held)

for place = waiting_from, at - 1, 3 do
  cancel_event(user, ARGV[place + 2], ARGV[place + 1], tonumber(ARGV[place]), max_held)
end
register(user, tonumber(keep))
commit()
return 1
