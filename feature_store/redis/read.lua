-- Memories and counters as of moments, in one round trip.
-- ARGV: settings, limit, n windows, windows..., n memories, (user, time)..., n times, (time, n items, items...)...
-- An empty time is the clock. Gives: clock, one blob for each memory ('' for a user who is not held,
-- nothing but a count of 0 for one who is forgotten), a blob of counters.
local meta, refused = whole_meta(ARGV[1])
if refused then return refused end
local limit, at = tonumber(ARGV[2]), 3

local function take()
  at = at + 1
  return ARGV[at - 1]
end

local function moment()
  local given = take()
  local time = given == '' and meta.clock or tonumber(given)
  if time < meta.horizon then return nil, redis.error_reply('RECMEM early ' .. exact(meta.horizon)) end
  return time
end

local windows = {}
for n = 1, tonumber(take()) do
  windows[n] = tonumber(take())
  if windows[n] > meta.window then return redis.error_reply('RECMEM window ' .. exact(meta.window)) end
end

local reply = {exact(meta.clock)}
for _ = 1, tonumber(take()) do
  local user = take()
  local time, early = moment()
  if early then return early end
  local key = user_key(user)
  local held = redis.call('ZREVRANGEBYSCORE', key, exact(time), '-inf', 'LIMIT', 0, limit)
  if #held == 0 and redis.call('EXISTS', key) == 0 then
    reply[#reply + 1] = is_forgotten(user) and struct.pack('<d', 0) or ''
  else
    local dropped = tonumber(redis.call('HGET', DROPPED, user) or 0)
    if dropped > 0 and #held < limit then return redis.error_reply('RECMEM short ' .. user) end
    if #held == limit then -- what became known together with the last one belongs to it
      local edge = redis.call('ZSCORE', key, held[#held])
      held = redis.call('ZREVRANGEBYSCORE', key, exact(time), edge)
    end
    local parts = {struct.pack('<d', dropped + redis.call('ZCOUNT', key, '-inf', exact(time)))}
    for n, member in ipairs(held) do
      parts[n + 1] = struct.pack('<I4', #member) .. member
    end
    reply[#reply + 1] = table.concat(parts)
  end
end

local counters = {}
for _ = 1, tonumber(take()) do
  local time, early = moment()
  if early then return early end
  local until_time, n_items, since = exact(time), tonumber(take()), {}
  for place, window in ipairs(windows) do since[place] = '(' .. exact(time - window) end
  local items = {}
  for n = 1, n_items do items[n] = take() end
  for first = 1, n_items, 1000 do -- unpack() takes some thousands at the most
    local some = {unpack(items, first, math.min(first + 999, n_items))}
    local noted = redis.call('HMGET', ITEMS, unpack(some))
    for n, item in ipairs(some) do
      if not noted[n] then
        counters[#counters + 1] = struct.pack('<ddd', -1, 0, 0) .. string.rep('\0', 8 * #windows)
      else
        local older, known, first_time = struct.unpack('<ddd', noted[n])
        local key = item_key(item)
        local count = {struct.pack('<ddd', older + redis.call('ZCOUNT', key, '-inf', until_time), known, first_time)}
        for place, start in ipairs(since) do
          count[place + 1] = struct.pack('<d', redis.call('ZCOUNT', key, start, until_time))
        end
        counters[#counters + 1] = table.concat(count)
      end
    end
  end
end
reply[#reply + 1] = table.concat(counters)
return reply
