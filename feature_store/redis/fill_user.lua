-- A user's memory as the tables have it, joined with what has been written since.
-- ARGV: user, seconds to keep it, longest memory, 1 to join and 0 to leave what is there, events that are left out,
-- since when the rest became known, then (known, member)...
local user, keep, longest, joins, left_out, edge = unpack(ARGV, 1, 6)
local key = user_key(user)
if joins ~= '1' and redis.call('EXISTS', key) == 1 then return 0 end
if left_out == '0' then
  redis.call('HDEL', DROPPED, user)
else
  redis.call('ZREMRANGEBYSCORE', key, '-inf', '(' .. edge)
  redis.call('HSET', DROPPED, user, left_out)
end
local given = {}
for at = 7, #ARGV, 2 do given[string.sub(ARGV[at + 1], 1, IDENTITY)] = ARGV[at + 1] end
for _, member in ipairs(redis.call('ZRANGE', key, 0, -1)) do
  local theirs = given[string.sub(member, 1, IDENTITY)]
  if theirs and theirs ~= member then redis.call('ZREM', key, member) end -- one identity: the tables say what it is
end
for at = 7, #ARGV, 2 do redis.call('ZADD', key, ARGV[at], ARGV[at + 1]) end
trim(user, tonumber(longest))
redis.call('EXPIRE', key, tonumber(keep))
return 1
