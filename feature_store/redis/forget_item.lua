-- An item, out of the counters and out of the memories of the given users. ARGV: item, characters of a member before
-- the item, users... Gives how much there was.
local item, head = ARGV[1], tonumber(ARGV[2])
local found = redis.call('DEL', item_key(item)) + redis.call('HDEL', ITEMS, item)
for at = 3, #ARGV do
  for _, member in ipairs(redis.call('ZRANGE', user_key(ARGV[at]), 0, -1)) do
    if string.sub(member, head + 1) == item then
      redis.call('ZREM', IDS, string.sub(member, 1, IDENTITY))
      found = found + redis.call('ZREM', user_key(ARGV[at]), member)
    end
  end
end
return found
