-- Removes an item from the counters and from the memories of the given users.
-- ARGV: store, item, then users.
-- Returns how many entries were removed.
local refusal, was_whole = begin_forgetting(ARGV[1])
if refusal then return refusal end
local item = ARGV[2]
local n_removed = redis.call('DEL', item_key(item)) + redis.call('HDEL', ITEMS, item)
for at = 3, #ARGV do
  local user = ARGV[at]
  local was_user_whole = is_user_whole(user)
  local n_before = n_removed
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
  -- The user's time to be dropped stays as it was; sizes that were wrong before stay wrong.
  if n_removed > n_before and was_user_whole then
    local kept_until = tonumber(redis.call('ZSCORE', KEPT, user) or now())
    register(user, kept_until - now())
  end
end
end_forgetting(was_whole)
return n_removed
