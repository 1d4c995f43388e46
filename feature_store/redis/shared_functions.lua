-- Keys and functions that all scripts share; `server.py` puts this file in front of each script.
--
-- KEYS[1] is the prefix of all keys:
--   <prefix>:meta       hash, see below
--   <prefix>:u:<user>   sorted set: members (see packing.py) of the user's newest events, by when they became known
--   <prefix>:dropped    hash: user -> number of older events that are no longer in the sorted set
--   <prefix>:i:<item>   sorted set: the first COUNTED_BYTES of the members of the item's events that a window may still
--                       reach, by when they became known
--   <prefix>:items      hash: item -> struct '<ddddd': number of older events; when the first event became known and
--                       happened; the earliest time for which the item can be answered; size of its sorted set
--   <prefix>:ids        sorted set: identities of the events that have an event_id, by when they became known
--   <prefix>:x:<user>   sorted set: members of the user's newest cancelled events, by when they were cancelled
--   <prefix>:dead       sorted set: identities of cancelled events, by when they became known
--   <prefix>:w:<user>   sorted set: identity and item of events that were cancelled before they arrived, by when
--   <prefix>:users      hash: user -> sizes of the three sorted sets of a user who is held
--   <prefix>:kept       sorted set: the users who are held, by when they are dropped (the server's clock, seconds)
--   <prefix>:forgotten_users  sorted set: digests of forgotten users whom a process's loaded tables may still contain,
--                       by until when
--
-- The meta hash:
--   whole               1 once a publish has finished
--   settings, store     what was published, and from which store
--   window, horizon, clock
--   token, since        of the publish that finished last: its random name, and when it finished (microseconds)
--   seq                 number of changes since the first publish
--   census              sizes of the keys that are not of one user or item
--   publishing, step    of a publish in progress: its token, and how many of its scripts have run
--   broken              1 if a publish has found that data was lost
--   ttl                 seconds after which an audit's keys expire; other keys never do
--
-- A server may lose any key (eviction) or all later changes (a restart, a failover). Each key's loss shows: that of
-- meta by itself, that of a user's or item's set in the sizes that `users` and `items` hold, and theirs in the census.
-- So every script checks what it reads or changes, and writes the new sizes at its end; the server runs it as a whole.
--
-- Times are microseconds. A cancelled event is removed, so times before its cancellation can no longer be answered: for
-- a user those before the greatest score of x, for an item those before its earliest time.
--
-- The scripts build key names, so all keys must be on one server: a Redis cluster is not supported.
local PREFIX = KEYS[1]
local META = PREFIX .. ':meta'
local DROPPED = PREFIX .. ':dropped'
local ITEMS = PREFIX .. ':items'
local IDS = PREFIX .. ':ids'
local USERS = PREFIX .. ':users'
local KEPT = PREFIX .. ':kept'
local FORGOTTEN = PREFIX .. ':forgotten_users'
local DEAD = PREFIX .. ':dead'

-- Bytes of a member: its identity; identity and time of the event; all that precedes the item's id.
local IDENTITY_BYTES = 16
local COUNTED_BYTES = 24
local ITEM_OFFSET = 33
-- Bytes of an item's totals before the size of its sorted set.
local SIZE_OFFSET = 32

-- Seconds after which an audit's keys expire; false for others. Set once the meta hash has been read.
local ttl = false

local function user_key(user) return PREFIX .. ':u:' .. user end
local function item_key(item) return PREFIX .. ':i:' .. item end
local function cancelled_key(user) return PREFIX .. ':x:' .. user end
local function waiting_key(user) return PREFIX .. ':w:' .. user end

local function identity_of(member) return string.sub(member, 1, IDENTITY_BYTES) end

-- A whole number as text with all its digits: Lua itself would write only 14.
local function exact(number) return string.format('%.0f', number) end

local function now() return tonumber(redis.call('TIME')[1]) end

-- Runs a command that may create its key.
local function put(command, key, ...)
  local answer = redis.call(command, key, ...)
  if ttl then redis.call('EXPIRE', key, ttl) end
  return answer
end

local function is_held(user) return redis.call('EXISTS', user_key(user), cancelled_key(user)) > 0 end

local function is_forgotten(user)
  local until_time = redis.call('ZSCORE', FORGOTTEN, redis.sha1hex(user))
  return until_time and tonumber(until_time) > now()
end

-- The sizes of a user's sorted sets, as `users` holds them.
local function sizes_of(user)
  local held, cancelled = redis.call('ZCARD', user_key(user)), redis.call('ZCARD', cancelled_key(user))
  return held .. ' ' .. cancelled .. ' ' .. redis.call('ZCARD', waiting_key(user))
end

-- Whether all is there that was written of a user.
local function is_user_whole(user) return sizes_of(user) == (redis.call('HGET', USERS, user) or '0 0 0') end

-- Remembers the sizes of a user's sorted sets after a change, and keeps the user for so many seconds.
local function register(user, seconds)
  local sizes = sizes_of(user)
  if sizes == '0 0 0' then
    redis.call('HDEL', USERS, user)
    redis.call('ZREM', KEPT, user)
  else
    put('HSET', USERS, user, sizes)
    put('ZADD', KEPT, exact(now() + seconds), user)
  end
end

local function drop_user(user)
  redis.call('DEL', user_key(user), cancelled_key(user), waiting_key(user))
  redis.call('HDEL', USERS, user)
  redis.call('ZREM', KEPT, user)
end

-- Drops users who had no event for long, so many at most.
local function drop_idle(n_most)
  local idle = redis.call('ZRANGEBYSCORE', KEPT, '-inf', now(), 'LIMIT', 0, n_most)
  for _, user in ipairs(idle) do drop_user(user) end
  return #idle
end

local function census()
  local sizes = {redis.call('HLEN', ITEMS), redis.call('HLEN', USERS), redis.call('HLEN', DROPPED)}
  for place, key in ipairs({KEPT, IDS, DEAD, FORGOTTEN}) do sizes[3 + place] = redis.call('ZCARD', key) end
  return table.concat(sizes, ' ')
end

-- Ends a script that has changed anything.
local function commit()
  put('HSET', META, 'census', census())
  redis.call('HINCRBY', META, 'seq', 1)
end

-- The meta hash as numbers; or nil and an error unless all is there of a finished publish with these settings from this
-- store. An empty store stands for any.
local function published_meta(settings, store)
  local meta = redis.call(
    'HMGET', META, 'whole', 'settings', 'store', 'broken', 'census', 'ttl', 'window', 'horizon', 'clock', 'since',
    'token', 'seq'
  )
  if meta[1] ~= '1' then return nil, redis.error_reply('RECMEM empty') end
  if meta[2] ~= settings then return nil, redis.error_reply('RECMEM settings ' .. meta[2]) end
  if store ~= '' and meta[3] ~= '' and meta[3] ~= store then return nil, redis.error_reply('RECMEM store') end
  if meta[4] or meta[5] ~= census() then return nil, redis.error_reply('RECMEM lost') end
  ttl = meta[6]
  return {
    window = tonumber(meta[7]),
    horizon = tonumber(meta[8]),
    clock = tonumber(meta[9]),
    stamp = meta[10] .. ' ' .. meta[11] .. ' ',
    seq = meta[12],
  }
end

-- Refuses what follows until the next publish: data was lost.
local function break_off()
  redis.call('HSET', META, 'broken', '1')
  return redis.error_reply('RECMEM lost')
end

-- Whether a step of a publish has been done before, as the client may send it twice; or nil and an error if an earlier
-- step is missing here, so that the server has lost it, or if the publish is not the one in progress.
local function has_done_step(token, step)
  local meta = redis.call('HMGET', META, 'publishing', 'step', 'broken', 'census', 'ttl')
  if not meta[1] and redis.call('HEXISTS', META, 'token') == 0 then
    return nil, redis.error_reply('RECMEM gone_publish')
  end
  if meta[1] ~= token then return nil, redis.error_reply('RECMEM other_publish') end
  local n_done = tonumber(meta[2])
  if step > n_done + 1 or meta[3] or meta[4] ~= census() then return nil, break_off() end
  ttl = meta[5]
  if step <= n_done then return true end
  redis.call('HSET', META, 'step', step)
  return false
end

-- An error if another store was published here; or nil, and whether all keys of the census were there. What is to be
-- forgotten is removed in either case.
local function begin_forgetting(store)
  local meta = redis.call('HMGET', META, 'store', 'census', 'ttl', 'settings')
  if meta[4] and not meta[2] then return redis.error_reply('RECMEM format') end
  if store ~= '' and meta[1] and meta[1] ~= '' and meta[1] ~= store then return redis.error_reply('RECMEM store') end
  ttl = meta[3]
  return nil, meta[2] == census()
end

local function end_forgetting(was_whole)
  if redis.call('EXISTS', META) == 0 then return end
  if not was_whole then redis.call('HSET', META, 'broken', '1') end
  commit()
end

-- Advances the clock of published memories to a time, so that a read as of now includes what happened then.
local function advance_clock(time)
  local clock = redis.call('HGET', META, 'clock')
  if clock and tonumber(clock) < time then redis.call('HSET', META, 'clock', exact(time)) end
end

-- Drops a user's oldest events beyond max_held; events that became known at the same time stay together.
local function trim_memory(user, max_held)
  local key = user_key(user)
  local n_extra = redis.call('ZCARD', key) - max_held
  if n_extra <= 0 then return end
  local oldest_kept = redis.call('ZRANGE', key, n_extra, n_extra, 'WITHSCORES')[2]
  local n_dropped = redis.call('ZREMRANGEBYSCORE', key, '-inf', '(' .. oldest_kept)
  if n_dropped > 0 then put('HINCRBY', DROPPED, user, n_dropped) end
end

-- Number of older events of an item, when its first event became known and happened, and its earliest time.
local function item_totals(item)
  local packed = redis.call('HGET', ITEMS, item)
  if not packed then return 0, math.huge, 0, 0 end
  local n_older, first_known, first_time, earliest = struct.unpack('<dddd', packed)
  return n_older, first_known, first_time, earliest
end

-- How many members an item's sorted set had after the last change.
local function item_size(item)
  local packed = redis.call('HGET', ITEMS, item)
  return packed and (struct.unpack('<d', packed, SIZE_OFFSET + 1)) or 0
end

-- Whether all is there that was written of an item.
local function is_item_whole(item) return redis.call('ZCARD', item_key(item)) == item_size(item) end

-- Sets an item's totals after a change; `size` is that of its sorted set, by default as it is now.
local function set_item_totals(item, n_older, first_known, first_time, earliest, size)
  size = size or redis.call('ZCARD', item_key(item))
  put('HSET', ITEMS, item, struct.pack('<ddddd', n_older, first_known, first_time, earliest, size))
end

-- When the first event in an item's sorted set became known, and when it happened.
local function first_held_event(item)
  local known = redis.call('ZRANGE', item_key(item), 0, 0, 'WITHSCORES')[2]
  if not known then return math.huge, 0 end
  local time = math.huge
  for _, member in ipairs(redis.call('ZRANGEBYSCORE', item_key(item), known, known)) do
    time = math.min(time, (struct.unpack('<i8', member, IDENTITY_BYTES + 1)))
  end
  return tonumber(known), time
end

-- The member with this identity among those that became known at one time; nil without one.
local function member_of(key, known, identity)
  for _, member in ipairs(redis.call('ZRANGEBYSCORE', key, known, known)) do
    if identity_of(member) == identity then return member end
  end
end

local function holds(key, identity)
  for _, member in ipairs(redis.call('ZRANGE', key, 0, -1)) do
    if identity_of(member) == identity then return true end
  end
  return false
end

-- Remembers a user's cancelled event, with score '-inf' if the cancellation was known first, so that the event never
-- counted. Only the newest are kept.
local function remember_cancelled(user, cancelled_at, member, max_held)
  put('ZADD', cancelled_key(user), cancelled_at, member)
  redis.call('ZREMRANGEBYRANK', cancelled_key(user), 0, -max_held - 1)
end

-- Brings a sorted set to the members (known, member) that end ARGV from a place on, and keeps what has been written
-- since, less the cancelled identities; these grow by what was cancelled here.
local function merge_members(key, from, is_cancelled)
  local given = {} -- identity -> member
  local any_dead = redis.call('EXISTS', DEAD) == 1
  for place = from, #ARGV, 2 do
    local identity = identity_of(ARGV[place + 1])
    -- Cancelled here, by a cancellation that the tables do not contain yet.
    if any_dead and redis.call('ZSCORE', DEAD, identity) then is_cancelled[identity] = true end
    given[identity] = ARGV[place + 1]
  end
  -- Members that are cancelled, or that the tables describe differently, give way.
  for _, member in ipairs(redis.call('ZRANGE', key, 0, -1)) do
    local identity = identity_of(member)
    local is_other = given[identity] and given[identity] ~= member
    if is_cancelled[identity] or is_other then redis.call('ZREM', key, member) end
  end
  for place = from, #ARGV, 2 do
    if not is_cancelled[identity_of(ARGV[place + 1])] then put('ZADD', key, ARGV[place], ARGV[place + 1]) end
  end
end

-- Whether an event that IDS lacks may have arrived, and be part of its item's number of older events only. That is so
-- if it is in the user's memory; or if the memory has dropped events, and the item has had events that no window
-- reaches. Otherwise the event has not arrived yet.
local function may_be_counted_only(user, item, identity)
  if holds(user_key(user), identity) then return true end
  if redis.call('HEXISTS', DROPPED, user) == 0 or holds(cancelled_key(user), identity) then return false end
  return (item_totals(item)) > 0
end

-- Cancels an event, or remembers the cancellation until the event arrives.
-- Returns 'n' (done) or 'o' (the event is too old to be removed), and whether anything has changed.
local function cancel_event(user, item, target, cancelled_at, max_held)
  if redis.call('ZSCORE', DEAD, target) then return 'n', false end

  local known = redis.call('ZSCORE', IDS, target)
  if not known then -- not arrived yet: of several cancellations the first counts
    local earlier = redis.call('ZSCORE', waiting_key(user), target .. item)
    if not earlier or tonumber(earlier) > cancelled_at then
      put('ZADD', waiting_key(user), exact(cancelled_at), target .. item)
    end
    return 'n', false
  end

  local counted = member_of(item_key(item), known, target)
  local held = member_of(user_key(user), known, target)
  if not counted then
    -- The target belongs to another item or is itself a cancellation: nothing to do. But if the user's memory has it
    -- for this item, a publish in progress has already moved it to the number of older events.
    return held and string.sub(held, ITEM_OFFSET + 1) == item and 'o' or 'n', false
  end
  if not held then
    -- The target belongs to another user: nothing to do. Or the server has dropped it, or the user as a whole.
    return (redis.call('HEXISTS', DROPPED, user) == 1 or not is_held(user)) and 'o' or 'n', false
  end

  redis.call('ZREM', item_key(item), counted)
  redis.call('ZREM', user_key(user), held)
  put('ZADD', DEAD, known, target)
  local has_counted = cancelled_at > tonumber(known)
  remember_cancelled(user, has_counted and exact(cancelled_at) or '-inf', held, max_held)
  local n_older, first_known, first_time, earliest = item_totals(item)
  if n_older == 0 then first_known, first_time = first_held_event(item) end
  if has_counted then
    earliest = math.max(earliest, cancelled_at)
    advance_clock(cancelled_at)
  end
  set_item_totals(item, n_older, first_known, first_time, earliest)
  return 'n', has_counted
end
