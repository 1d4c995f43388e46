-- Removes an item from the counters and from the memories of the given users.
-- ARGV: item, then users.
-- Returns how many entries were removed.
local item = ARGV[1]
local n_removed = redis.call('DEL', item_key(item)) + redis.call('HDEL', ITEMS, item)
for at = 2, #ARGV do
  local user = ARGV[at]
  -- Where the item's id begins in the members of each set.
  local item_offsets = {
    [user_key(user)] = ITEM_OFFSET,
    [cancelled_key(user)] = ITEM_OFFSET,
    [waiting_key(user)] = IDENTITY_BYTES,
  }
  for key, offset in pairs(item_offsets) do
    for _, member in ipairs(redis.call('ZRANGE', key, 0, -1)) do
      if string.sub(member, offset + 1) == item then
        redis.call('ZREM', IDS, identity_of(member))
        redis.call('ZREM', DEAD, identity_of(member))
        n_removed = n_removed + redis.call('ZREM', key, member)
      end
    end
  end
end
return n_removed
