-- Marks a publish as complete, so that reads and writes are answered.
-- ARGV: settings, longest window, horizon, clock of the tables.
local settings, window, horizon, tables_clock = unpack(ARGV)
local clock = math.max(tonumber(tables_clock), tonumber(redis.call('HGET', META, 'clock') or tables_clock))
-- Events that no window reaches are only counted from now on, and their identities are no longer needed.
for _, key in ipairs({IDS, DEAD}) do
  redis.call('ZREMRANGEBYSCORE', key, '-inf', exact(tonumber(horizon) - tonumber(window)))
end
redis.call(
  'HSET', META, 'settings', settings, 'window', window, 'horizon', horizon, 'clock', exact(clock), 'whole', '1'
)
return 1
