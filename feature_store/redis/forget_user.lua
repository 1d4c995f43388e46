-- Removes a user's memory, and the user's events from the counters.
-- ARGV: user, seconds for which processes may still have older tables loaded; then (item, counted member) of each event
-- of the user in the tables.
-- Returns how many entries were removed.
local user, remember_s = ARGV[1], ARGV[2]
local key = user_key(user)

local function forget_event(item, counted)
  redis.call('ZREM', IDS, identity_of(counted))
  redis.call('ZREM', DEAD, identity_of(counted))
  return redis.call('ZREM', item_key(item), counted)
end

local n_removed = redis.call('EXISTS', key) + redis.call('HEXISTS', DROPPED, user)
for _, set in ipairs({key, cancelled_key(user)}) do
  for _, member in ipairs(redis.call('ZRANGE', set, 0, -1)) do
    forget_event(string.sub(member, ITEM_OFFSET + 1), string.sub(member, 1, COUNTED_BYTES))
  end
end
for at = 3, #ARGV, 2 do n_removed = n_removed + forget_event(ARGV[at], ARGV[at + 1]) end

-- A digest is enough to recognize the user, and does not name them.
redis.call('SADD', FORGOTTEN, redis.sha1hex(user))
redis.call('EXPIRE', FORGOTTEN, remember_s)
redis.call('DEL', key, cancelled_key(user), waiting_key(user))
redis.call('HDEL', DROPPED, user)
return n_removed
