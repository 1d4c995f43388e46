-- Removes a user's memory, and the user's events from the counters.
-- ARGV: store, user, seconds for which processes may still have older tables loaded; then (item, counted member) of
-- each event of the user in the tables.
-- Returns how many entries were removed.
local refusal, was_whole = begin_forgetting(ARGV[1])
if refusal then return refusal end
local user, remember_s = ARGV[2], ARGV[3]
local key = user_key(user)

local function forget_event(item, counted)
  redis.call('ZREM', IDS, identity_of(counted))
  redis.call('ZREM', DEAD, identity_of(counted))
  if redis.call('ZREM', item_key(item), counted) == 0 then return 0 end
  local n_older, first_known, first_time, earliest = item_totals(item)
  -- Less by one, and not as it is: a size that was wrong before stays wrong.
  set_item_totals(item, n_older, first_known, first_time, earliest, item_size(item) - 1)
  return 1
end

local n_removed = redis.call('EXISTS', key) + redis.call('HEXISTS', DROPPED, user)
for _, set in ipairs({key, cancelled_key(user)}) do
  for _, member in ipairs(redis.call('ZRANGE', set, 0, -1)) do
    forget_event(string.sub(member, ITEM_OFFSET + 1), string.sub(member, 1, COUNTED_BYTES))
  end
end
for at = 4, #ARGV, 2 do n_removed = n_removed + forget_event(ARGV[at], ARGV[at + 1]) end

-- A digest is enough to recognize the user, and does not name them.
put('ZADD', FORGOTTEN, exact(now() + tonumber(remember_s)), redis.sha1hex(user))
drop_user(user)
redis.call('HDEL', DROPPED, user)
end_forgetting(was_whole)
return n_removed
