-- A user's memory, and what the counters hold of it. ARGV: user, characters of a member before the item, seconds for
-- which processes may still have older tables, then events that the tables know of: (item, identity)... Gives how much
-- there was.
local user, head = ARGV[1], tonumber(ARGV[2])
local key = user_key(user)
local function forget(item, identity)
  redis.call('ZREM', IDS, identity)
  return redis.call('ZREM', item_key(item), identity)
end
local found = redis.call('EXISTS', key) + redis.call('HEXISTS', DROPPED, user)
for _, member in ipairs(redis.call('ZRANGE', key, 0, -1)) do
  forget(string.sub(member, head + 1), string.sub(member, 1, IDENTITY))
end
for at = 4, #ARGV, 2 do found = found + forget(ARGV[at], ARGV[at + 1]) end
redis.call('SADD', FORGOTTEN, redis.sha1hex(user))
redis.call('EXPIRE', FORGOTTEN, ARGV[3])
redis.call('DEL', key)
redis.call('HDEL', DROPPED, user)
return found
