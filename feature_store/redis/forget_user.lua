-- A user's memory, and what the counters hold of it. ARGV: user, characters of a member before the item, seconds for
-- which processes may still have older tables, then rows that the tables know of: (item, head)... Gives how much there
-- was.
local user, head = ARGV[1], tonumber(ARGV[2])
local key = user_key(user)
local function forget(item, head_of_event)
  redis.call('ZREM', IDS, identity_of(head_of_event))
  redis.call('ZREM', DEAD, identity_of(head_of_event))
  return redis.call('ZREM', item_key(item), head_of_event)
end
local found = redis.call('EXISTS', key) + redis.call('HEXISTS', DROPPED, user)
for _, set in ipairs({key, gone_key(user)}) do
  for _, member in ipairs(redis.call('ZRANGE', set, 0, -1)) do
    forget(string.sub(member, head + 1), string.sub(member, 1, HEAD))
  end
end
for at = 4, #ARGV, 2 do found = found + forget(ARGV[at], ARGV[at + 1]) end
redis.call('SADD', FORGOTTEN, redis.sha1hex(user))
redis.call('EXPIRE', FORGOTTEN, ARGV[3])
redis.call('DEL', key, gone_key(user), waiting_key(user))
redis.call('HDEL', DROPPED, user)
return found
