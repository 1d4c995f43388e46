-- Keys and functions that all scripts share; `server.py` puts this file in front of each script.
--
-- KEYS[1] is the prefix of all keys:
--   <prefix>:meta       hash: whole (1 once a publish has finished), settings, window, horizon, clock
--   <prefix>:u:<user>   sorted set: members (see packing.py) of the user's newest events, by when they became known
--   <prefix>:dropped    hash: user -> number of older events that are no longer in the sorted set
--   <prefix>:i:<item>   sorted set: the first COUNTED_BYTES of the members of the item's events that a window may still
--                       reach, by when they became known
--   <prefix>:items      hash: item -> struct '<dddd': number of older events; when the first event became known and
--                       happened; the earliest time for which the item can be answered
--   <prefix>:ids        sorted set: identities of the events that have an event_id, by when they became known
--   <prefix>:x:<user>   sorted set: members of the user's newest cancelled events, by when they were cancelled
--   <prefix>:dead       sorted set: identities of cancelled events, by when they became known
--   <prefix>:w:<user>   sorted set: identity and item of events that were cancelled before they arrived, by when
--   <prefix>:forgotten  set: digests of forgotten users whom a process's loaded tables may still contain
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
local FORGOTTEN = PREFIX .. ':forgotten'
local DEAD = PREFIX .. ':dead'

-- Bytes of a member: its identity; identity and time of the event; all that precedes the item's id.
local IDENTITY_BYTES = 16
local COUNTED_BYTES = 24
local ITEM_OFFSET = 33

local function user_key(user) return PREFIX .. ':u:' .. user end
local function item_key(item) return PREFIX .. ':i:' .. item end
local function cancelled_key(user) return PREFIX .. ':x:' .. user end
local function waiting_key(user) return PREFIX .. ':w:' .. user end

local function identity_of(member) return string.sub(member, 1, IDENTITY_BYTES) end

local function is_held(user) return redis.call('EXISTS', user_key(user), cancelled_key(user)) > 0 end

local function is_forgotten(user) return redis.call('SISMEMBER', FORGOTTEN, redis.sha1hex(user)) == 1 end

local function keep_alive(user, seconds)
  for _, key in ipairs({user_key(user), cancelled_key(user), waiting_key(user)}) do
    redis.call('EXPIRE', key, seconds)
  end
end

-- A whole number as text with all its digits: Lua itself would write only 14.
local function exact(number) return string.format('%.0f', number) end

-- The meta hash as numbers; or nil and an error unless a publish with these settings has finished.
local function published_meta(settings)
  local meta = redis.call('HMGET', META, 'whole', 'settings', 'window', 'horizon', 'clock')
  if meta[1] ~= '1' then return nil, redis.error_reply('RECMEM empty') end
  if meta[2] ~= settings then return nil, redis.error_reply('RECMEM settings ' .. meta[2]) end
  return {window = tonumber(meta[3]), horizon = tonumber(meta[4]), clock = tonumber(meta[5])}
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
  if n_dropped > 0 then redis.call('HINCRBY', DROPPED, user, n_dropped) end
end

-- Number of older events of an item, when its first event became known and happened, and its earliest time.
local function item_totals(item)
  local packed = redis.call('HGET', ITEMS, item)
  if not packed then return 0, math.huge, 0, 0 end
  local n_older, first_known, first_time, earliest = struct.unpack('<dddd', packed)
  return n_older, first_known, first_time, earliest
end

local function set_item_totals(item, n_older, first_known, first_time, earliest)
  redis.call('HSET', ITEMS, item, struct.pack('<dddd', n_older, first_known, first_time, earliest))
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
  redis.call('ZADD', cancelled_key(user), cancelled_at, member)
  redis.call('ZREMRANGEBYRANK', cancelled_key(user), 0, -max_held - 1)
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
      redis.call('ZADD', waiting_key(user), exact(cancelled_at), target .. item)
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
  redis.call('ZADD', DEAD, known, target)
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
