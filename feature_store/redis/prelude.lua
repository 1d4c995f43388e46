-- What the scripts share. KEYS[1] is the prefix of all keys:
--   <prefix>:meta       hash: whole, settings, window, horizon, clock
--   <prefix>:u:<user>   sorted set: the user's newest events by when they became known; a member is packed by rows.py
--   <prefix>:dropped    hash: user -> events that are no longer in the sorted set
--   <prefix>:i:<item>   sorted set: identities of the item's events that a window may still reach, by when known
--   <prefix>:items      hash: item -> struct '<ddd': older events, first known, first time
--   <prefix>:ids        sorted set: identities of those events that came with an event_id
--   <prefix>:forgotten  set: digests of users whom the tables that a process has loaded may still know
-- All keys of a script lie on one server: a cluster that spreads them is not served.
local PREFIX = KEYS[1]
local META, DROPPED, ITEMS, IDS = PREFIX .. ':meta', PREFIX .. ':dropped', PREFIX .. ':items', PREFIX .. ':ids'
local FORGOTTEN = PREFIX .. ':forgotten'
local IDENTITY = 16

local function user_key(user) return PREFIX .. ':u:' .. user end
local function item_key(item) return PREFIX .. ':i:' .. item end

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

-- Notes an item's first event, if this one is earlier than what is noted.
local function note_first(item, older, known, time)
  local held = redis.call('HGET', ITEMS, item)
  if held then
    local n, first_known, first_time = struct.unpack('<ddd', held)
    older = older or n
    if first_known < known or (first_known == known and first_time <= time) then
      known, time = first_known, first_time
    end
  end
  redis.call('HSET', ITEMS, item, struct.pack('<ddd', older or 0, known, time))
end
