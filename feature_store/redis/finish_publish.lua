-- Marks a publish as complete, so that reads and writes are answered.
-- ARGV: token and step of the publish, settings, longest window, horizon, clock of the tables, the server's run.
-- Returns 1.
if redis.call('HGET', META, 'token') == ARGV[1] then return 1 end -- sent twice
local _, refusal = has_done_step(ARGV[1], tonumber(ARGV[2]))
if refusal then return refusal end
local settings, window, horizon, tables_clock, run = unpack(ARGV, 3)
local clock, since = unpack(redis.call('HMGET', META, 'clock', 'since'))
clock = math.max(tonumber(tables_clock), tonumber(clock or tables_clock))
-- Events that no window reaches are only counted from now on, and their identities are no longer needed.
for _, key in ipairs({IDS, DEAD}) do
  redis.call('ZREMRANGEBYSCORE', key, '-inf', exact(tonumber(horizon) - tonumber(window)))
end
redis.call('ZREMRANGEBYSCORE', FORGOTTEN, '-inf', now())
drop_idle(1000)
local time = redis.call('TIME')
-- A later publish has a later time, also on a server whose clock was set back.
since = math.max(tonumber(time[1]) * 1000000 + tonumber(time[2]), tonumber(since or 0) + 1)
redis.call(
  'HSET', META, 'settings', settings, 'window', window, 'horizon', horizon, 'clock', exact(clock), 'whole', '1',
  'token', ARGV[1], 'since', exact(since), 'run', run
)
redis.call('HDEL', META, 'publishing', 'step')
commit()
return 1
