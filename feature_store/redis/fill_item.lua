-- An item's counters as the tables have them, joined with what has been written since.
-- ARGV: item, up to when events are a mere number, how many these are, first known, first time, then (known, identity)...
local item, oldest, older, known, time = unpack(ARGV, 1, 5)
local key = item_key(item)
redis.call('ZREMRANGEBYSCORE', key, '-inf', oldest)
for at = 6, #ARGV, 2 do redis.call('ZADD', key, ARGV[at], ARGV[at + 1]) end
-- What is noted as the first event stands only where that event has not reached the tables yet.
local newest_first = redis.call('ZRANGE', key, 0, 0, 'WITHSCORES')[2]
if not newest_first or tonumber(newest_first) >= tonumber(known) then redis.call('HDEL', ITEMS, item) end
note_first(item, tonumber(older), tonumber(known), tonumber(time))
return 1
