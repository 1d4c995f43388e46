-- An item that no table knows any more: gone, unless something has been written of it since. ARGV: item, up to when
-- events are a mere number.
redis.call('ZREMRANGEBYSCORE', item_key(ARGV[1]), '-inf', ARGV[2])
if redis.call('EXISTS', item_key(ARGV[1])) == 0 then return redis.call('HDEL', ITEMS, ARGV[1]) end
return 0
