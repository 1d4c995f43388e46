-- Reads memories and counters as of given times, all of one request in one round trip.
-- ARGV: settings, store, events of a memory, number of windows, windows; number of memories, (user, time) of each;
-- number of times, and for each time: time, number of items, items. An empty time stands for the clock.
-- Returns: the clock; the stamp of what is held; for each memory a blob ('' for a user who is not held, a count of 0
-- alone for one who is forgotten); a blob of all counters; for each memory a blob of the user's cancelled events.
local meta, refusal = published_meta(ARGV[1], ARGV[2])
if refusal then return refusal end
local limit, at = tonumber(ARGV[3]), 4

local function next_argument()
  at = at + 1
  return ARGV[at - 1]
end

local function too_early(earliest) return redis.error_reply('RECMEM early ' .. exact(earliest)) end

local function next_time()
  local given = next_argument()
  local time = given == '' and meta.clock or tonumber(given)
  if time < meta.horizon then return nil, too_early(meta.horizon) end
  return time
end

local function packed(members)
  local parts = {}
  for n, member in ipairs(members) do parts[n] = struct.pack('<I4', #member) .. member end
  return table.concat(parts)
end

local windows = {}
for n = 1, tonumber(next_argument()) do
  windows[n] = tonumber(next_argument())
  if windows[n] > meta.window then return redis.error_reply('RECMEM window ' .. exact(meta.window)) end
end

-- Memories
local reply, cancelled = {exact(meta.clock), meta.stamp .. meta.seq}, {}
for _ = 1, tonumber(next_argument()) do
  local user = next_argument()
  local time, time_refusal = next_time()
  if time_refusal then return time_refusal end
  if not is_user_whole(user) then return redis.error_reply('RECMEM evicted user ' .. user) end
  local key = user_key(user)
  local last_cancelled = redis.call('ZRANGE', cancelled_key(user), -1, -1, 'WITHSCORES')[2]
  if last_cancelled and time < tonumber(last_cancelled) then return too_early(tonumber(last_cancelled)) end
  cancelled[#cancelled + 1] = last_cancelled and packed(redis.call('ZRANGE', cancelled_key(user), 0, -1)) or ''
  local held = redis.call('ZREVRANGEBYSCORE', key, exact(time), '-inf', 'LIMIT', 0, limit)
  if #held == 0 and not last_cancelled and redis.call('EXISTS', key) == 0 then
    reply[#reply + 1] = is_forgotten(user) and struct.pack('<d', 0) or ''
  else
    local n_dropped = tonumber(redis.call('HGET', DROPPED, user) or 0)
    if n_dropped > 0 and #held < limit then return redis.error_reply('RECMEM short ' .. user) end
    if #held == limit then -- events that became known together with the oldest one belong to the memory too
      local oldest = redis.call('ZSCORE', key, held[#held])
      held = redis.call('ZREVRANGEBYSCORE', key, exact(time), oldest)
    end
    local n_events = n_dropped + redis.call('ZCOUNT', key, '-inf', exact(time))
    reply[#reply + 1] = struct.pack('<d', n_events) .. packed(held)
  end
end

-- Counters: for each item '<ddd' events in all, first known, first time; then '<d' events within each window
local counters = {}
for _ = 1, tonumber(next_argument()) do
  local time, time_refusal = next_time()
  if time_refusal then return time_refusal end
  local until_time, n_items = exact(time), tonumber(next_argument())
  local window_starts = {}
  for place, window in ipairs(windows) do window_starts[place] = '(' .. exact(time - window) end
  local items = {}
  for n = 1, n_items do items[n] = next_argument() end
  for first = 1, n_items, 1000 do -- unpack() cannot return many thousand values
    local batch = {unpack(items, first, math.min(first + 999, n_items))}
    local totals = redis.call('HMGET', ITEMS, unpack(batch))
    for n, item in ipairs(batch) do
      if not totals[n] then -- never had an event
        counters[#counters + 1] = struct.pack('<ddd', -1, 0, 0) .. string.rep('\0', 8 * #windows)
      else
        local n_older, first_known, first_time, earliest, size = struct.unpack('<ddddd', totals[n])
        if time < earliest then return too_early(earliest) end
        if first_known == math.huge then first_known = 0 end -- all events were cancelled: there is no first one
        local key = item_key(item)
        local n_held = redis.call('ZCOUNT', key, '-inf', until_time)
        -- Usually all that is held is counted, and the set's size need not be asked for.
        if n_held ~= size and redis.call('ZCARD', key) ~= size then
          return redis.error_reply('RECMEM evicted item ' .. item)
        end
        local n_events = n_older + n_held
        local counts = {struct.pack('<ddd', n_events, first_known, first_time)}
        for place, start in ipairs(window_starts) do
          counts[place + 1] = struct.pack('<d', redis.call('ZCOUNT', key, start, until_time))
        end
        counters[#counters + 1] = table.concat(counts)
      end
    end
  end
end
reply[#reply + 1] = table.concat(counters)
for _, members in ipairs(cancelled) do reply[#reply + 1] = members end
return reply
