-- An item that no table knows any more: gone, unless something has been written of it since. ARGV: item, up to when
-- events are a mere number, the earliest moment that is asked about.
redis.call('ZREMRANGEBYSCORE', item_key(ARGV[1]), '-inf', ARGV[2])
if redis.call('EXISTS', item_key(ARGV[1])) == 1 then return 0 end
local _, _, _, floor = noted(ARGV[1])
if floor <= tonumber(ARGV[3]) then return redis.call('HDEL', ITEMS, ARGV[1]) end
note(ARGV[1], 0, math.huge, 0, floor) -- it had events until a moment that may still be asked about: that is refused
return 0
