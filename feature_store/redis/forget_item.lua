-- An item, out of the counters and out of the memories of the given users. ARGV: item, characters of a member before
-- the item, users... Gives how much there was.
local item, head = ARGV[1], tonumber(ARGV[2])
local found = redis.call('DEL', item_key(item)) + redis.call('HDEL', ITEMS, item)
for at = 3, #ARGV do
  local starts = {[user_key(ARGV[at])] = head, [gone_key(ARGV[at])] = head, [waiting_key(ARGV[at])] = IDENTITY}
  for key, start in pairs(starts) do
    for _, member in ipairs(redis.call('ZRANGE', key, 0, -1)) do
      if string.sub(member, start + 1) == item then
        redis.call('ZREM', IDS, identity_of(member))
        redis.call('ZREM', DEAD, identity_of(member))
        found = found + redis.call('ZREM', key, member)
      end
    end
  end
end
return found
