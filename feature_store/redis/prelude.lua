-- What the scripts share. KEYS[1] is the prefix of all keys:
--   <prefix>:meta       hash: whole, settings, window, horizon, clock
--   <prefix>:u:<user>   sorted set: the user's newest events by when they became known; a member is packed by rows.py
--   <prefix>:dropped    hash: user -> events that are no longer in the sorted set
--   <prefix>:i:<item>   sorted set: heads of the item's events that a window may still reach, by when known
--   <prefix>:items      hash: item -> struct '<dddd': older events, first known, first time, floor
--   <prefix>:ids        sorted set: identities of those events that came with an event_id, by when known
--   <prefix>:x:<user>   sorted set: the user's newest events that were taken back, by when they were gone
--   <prefix>:dead       sorted set: identities of events that were taken back, by when they became known
--   <prefix>:w:<user>   sorted set: identity and item of events that were taken back before they came, by when
--   <prefix>:forgotten  set: digests of users whom the tables that a process has loaded may still know
-- What is taken back is removed, and there is no answer any more for moments before that: of a user, those before the
-- greatest score of x, of an item those before its floor.
-- All keys of a script lie on one server: a cluster that spreads them is not served.
local PREFIX = KEYS[1]
local META, DROPPED, ITEMS, IDS = PREFIX .. ':meta', PREFIX .. ':dropped', PREFIX .. ':items', PREFIX .. ':ids'
local FORGOTTEN, DEAD = PREFIX .. ':forgotten', PREFIX .. ':dead'
-- Bytes of a member: its identity; that and when it happened; all before the item's id.
local IDENTITY, HEAD, MEMBER_HEAD = 16, 24, 33

local function user_key(user) return PREFIX .. ':u:' .. user end
local function item_key(item) return PREFIX .. ':i:' .. item end
local function gone_key(user) return PREFIX .. ':x:' .. user end
local function waiting_key(user) return PREFIX .. ':w:' .. user end

local function identity_of(member) return string.sub(member, 1, IDENTITY) end
local function is_held(user) return redis.call('EXISTS', user_key(user), gone_key(user)) > 0 end
local function keep_alive(user, seconds)
  for _, key in ipairs({user_key(user), gone_key(user), waiting_key(user)}) do redis.call('EXPIRE', key, seconds) end
end

local function is_forgotten(user) return redis.call('SISMEMBER', FORGOTTEN, redis.sha1hex(user)) == 1 end

-- Whole numbers of microseconds as text: Lua would write them with 14 digits.
local function exact(number) return string.format('%.0f', number) end

local function whole_meta(settings)
  local meta = redis.call('HMGET', META, 'whole', 'settings', 'window', 'horizon', 'clock')
  if meta[1] ~= '1' then return nil, redis.error_reply('RECMEM empty') end
  if meta[2] ~= settings then return nil, redis.error_reply('RECMEM settings ' .. meta[2]) end
  return {window = tonumber(meta[3]), horizon = tonumber(meta[4]), clock = tonumber(meta[5])}
end

-- Leaves the newest events of a user; those that became known together stay together.
local function trim(user, longest)
  local key = user_key(user)
  local extra = redis.call('ZCARD', key) - longest
  if extra <= 0 then return end
  local edge = redis.call('ZRANGE', key, extra, extra, 'WITHSCORES')[2]
  local gone = redis.call('ZREMRANGEBYSCORE', key, '-inf', '(' .. edge)
  if gone > 0 then redis.call('HINCRBY', DROPPED, user, gone) end
end

-- What is noted of an item: older events, when the first became known and happened, the floor.
local function noted(item)
  local held = redis.call('HGET', ITEMS, item)
  if not held then return 0, math.huge, 0, 0 end
  local older, known, time, floor = struct.unpack('<dddd', held)
  return older, known, time, floor
end

local function note(item, older, known, time, floor)
  redis.call('HSET', ITEMS, item, struct.pack('<dddd', older, known, time, floor))
end

-- When the first of the events that are held of an item became known, and happened.
local function first_held(item)
  local known = redis.call('ZRANGE', item_key(item), 0, 0, 'WITHSCORES')[2]
  if not known then return math.huge, 0 end
  local time = math.huge
  for _, member in ipairs(redis.call('ZRANGEBYSCORE', item_key(item), known, known)) do
    time = math.min(time, (struct.unpack('<i8', member, IDENTITY + 1)))
  end
  return tonumber(known), time
end

local function member_of(key, known, identity)
  for _, member in ipairs(redis.call('ZRANGEBYSCORE', key, known, known)) do
    if identity_of(member) == identity then return member end
  end
end

-- Notes that an event of a user is gone, '-inf' where it never counted; of these the newest are kept.
local function note_gone(user, gone, member, longest)
  redis.call('ZADD', gone_key(user), gone, member)
  redis.call('ZREMRANGEBYRANK', gone_key(user), 0, -longest - 1)
end

-- What has happened at a time moves the clock of memories that are whole: whoever asks as of now is not refused.
local function pass(time)
  local clock = redis.call('HGET', META, 'clock')
  if clock and tonumber(clock) < time then redis.call('HSET', META, 'clock', exact(time)) end
end

local function holds(key, identity)
  for _, member in ipairs(redis.call('ZRANGE', key, 0, -1)) do
    if identity_of(member) == identity then return true end
  end
  return false
end

-- Whether an event that IDS lacks may be one that is known here, but to its item a mere number: it is in the user's
-- memory, or this has dropped events and the item has had events before those that a window reaches. Where neither is
-- so the event has not come yet.
local function may_be_a_number(user, item, identity)
  if holds(user_key(user), identity) then return true end
  if redis.call('HEXISTS', DROPPED, user) == 0 or holds(gone_key(user), identity) then return false end
  return (noted(item)) > 0
end

-- Takes an event back, or waits for it. Gives a letter, n done or o too old for what is held, and whether anything
-- has changed.
local function take_back(user, item, target, gone, longest)
  if redis.call('ZSCORE', DEAD, target) then return 'n', false end
  local known = redis.call('ZSCORE', IDS, target)
  if not known then
    local first = redis.call('ZSCORE', waiting_key(user), target .. item)
    if not first or tonumber(first) > gone then redis.call('ZADD', waiting_key(user), exact(gone), target .. item) end
    return 'n', false
  end
  local counted, held = member_of(item_key(item), known, target), member_of(user_key(user), known, target)
  if not counted then -- of another item, or itself a cancellation; or a number already, while a publish goes on
    return held and string.sub(held, MEMBER_HEAD + 1) == item and 'o' or 'n', false
  end
  if not held then -- of another user, or of so long ago that the user's memory has dropped it, or all of him
    return (redis.call('HEXISTS', DROPPED, user) == 1 or not is_held(user)) and 'o' or 'n', false
  end
  redis.call('ZREM', item_key(item), counted)
  redis.call('ZREM', user_key(user), held)
  redis.call('ZADD', DEAD, known, target)
  local ever = gone > tonumber(known)
  note_gone(user, ever and exact(gone) or '-inf', held, longest)
  local older, first_known, first_time, floor = noted(item)
  if older == 0 then first_known, first_time = first_held(item) end
  note(item, older, first_known, first_time, ever and math.max(floor, gone) or floor)
  if ever then pass(gone) end
  return 'n', ever
end
