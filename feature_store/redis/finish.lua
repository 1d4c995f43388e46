-- All of the tables stands. ARGV: settings, window, horizon, clock.
local clock = math.max(tonumber(ARGV[4]), tonumber(redis.call('HGET', META, 'clock') or ARGV[4]))
for _, key in ipairs({IDS, DEAD}) do
  redis.call('ZREMRANGEBYSCORE', key, '-inf', exact(tonumber(ARGV[3]) - tonumber(ARGV[2])))
end
redis.call(
  'HSET', META, 'settings', ARGV[1], 'window', ARGV[2], 'horizon', ARGV[3], 'clock', exact(clock), 'whole', '1'
)
return 1
