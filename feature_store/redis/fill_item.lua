-- An item's counters as the tables have them, joined with what has been written since.
-- ARGV: item, up to when events are a mere number, how many these are, first known, first time, floor, how many are
-- gone, then (known, identity)... of these, (known, head)... of the others.
local item, oldest, older, known, time, given_floor, n_gone = unpack(ARGV, 1, 7)
local key, at = item_key(item), 8
redis.call('ZREMRANGEBYSCORE', key, '-inf', oldest)
local given, is_gone = {}, {}
for _ = 1, tonumber(n_gone) do
  redis.call('ZADD', DEAD, ARGV[at], ARGV[at + 1])
  is_gone[ARGV[at + 1]] = true
  at = at + 2
end
local any_dead = redis.call('EXISTS', DEAD) == 1
for place = at, #ARGV, 2 do
  local identity = identity_of(ARGV[place + 1])
  if any_dead and redis.call('ZSCORE', DEAD, identity) then is_gone[identity] = true end
  given[identity] = ARGV[place + 1]
end
for _, head in ipairs(redis.call('ZRANGE', key, 0, -1)) do
  local identity = identity_of(head)
  if is_gone[identity] or (given[identity] and given[identity] ~= head) then redis.call('ZREM', key, head) end
end
for place = at, #ARGV, 2 do
  if not is_gone[identity_of(ARGV[place + 1])] then redis.call('ZADD', key, ARGV[place], ARGV[place + 1]) end
end
local _, _, _, floor = noted(item)
local first_known, first_time = tonumber(known), tonumber(time)
if older == '0' then first_known, first_time = first_held(item) end
note(item, tonumber(older), first_known, first_time, math.max(floor, tonumber(given_floor)))
pass(tonumber(given_floor))
return 1
