-- Memories and counters as of moments, in one round trip.
-- ARGV: settings, limit, n windows, windows..., n memories, (user, time)..., n times, (time, n items, items...)...
-- An empty time is the clock. Gives: clock, one blob for each memory ('' for a user who is not held,
-- nothing but a count of 0 for one who is forgotten), a blob of counters, and for each memory a blob of what its user
-- has taken back.
local meta, refused = whole_meta(ARGV[1])
if refused then return refused end
local limit, at = tonumber(ARGV[2]), 3

local function take()
  at = at + 1
  return ARGV[at - 1]
end

local function early(reach) return redis.error_reply('RECMEM early ' .. exact(reach)) end

local function moment()
  local given = take()
  local time = given == '' and meta.clock or tonumber(given)
  if time < meta.horizon then return nil, early(meta.horizon) end
  return time
end

local function joined(members)
  local parts = {}
  for n, member in ipairs(members) do parts[n] = struct.pack('<I4', #member) .. member end
  return table.concat(parts)
end

local windows = {}
for n = 1, tonumber(take()) do
  windows[n] = tonumber(take())
  if windows[n] > meta.window then return redis.error_reply('RECMEM window ' .. exact(meta.window)) end
end

local reply, taken_back = {exact(meta.clock)}, {}
for _ = 1, tonumber(take()) do
  local user = take()
  local time, refusal = moment()
  if refusal then return refusal end
  local key, last_gone = user_key(user), redis.call('ZRANGE', gone_key(user), -1, -1, 'WITHSCORES')[2]
  if last_gone and time < tonumber(last_gone) then return early(tonumber(last_gone)) end
  taken_back[#taken_back + 1] = last_gone and joined(redis.call('ZRANGE', gone_key(user), 0, -1)) or ''
  local held = redis.call('ZREVRANGEBYSCORE', key, exact(time), '-inf', 'LIMIT', 0, limit)
  if #held == 0 and not last_gone and redis.call('EXISTS', key) == 0 then
    reply[#reply + 1] = is_forgotten(user) and struct.pack('<d', 0) or ''
  else
    local dropped = tonumber(redis.call('HGET', DROPPED, user) or 0)
    if dropped > 0 and #held < limit then return redis.error_reply('RECMEM short ' .. user) end
    if #held == limit then -- what became known together with the last one belongs to it
      local edge = redis.call('ZSCORE', key, held[#held])
      held = redis.call('ZREVRANGEBYSCORE', key, exact(time), edge)
    end
    local count = dropped + redis.call('ZCOUNT', key, '-inf', exact(time))
    reply[#reply + 1] = struct.pack('<d', count) .. joined(held)
  end
end

local counters = {}
for _ = 1, tonumber(take()) do
  local time, refusal = moment()
  if refusal then return refusal end
  local until_time, n_items, since = exact(time), tonumber(take()), {}
  for place, window in ipairs(windows) do since[place] = '(' .. exact(time - window) end
  local items = {}
  for n = 1, n_items do items[n] = take() end
  for first = 1, n_items, 1000 do -- unpack() takes some thousands at the most
    local some = {unpack(items, first, math.min(first + 999, n_items))}
    local told = redis.call('HMGET', ITEMS, unpack(some))
    for n, item in ipairs(some) do
      if not told[n] then
        counters[#counters + 1] = struct.pack('<ddd', -1, 0, 0) .. string.rep('\0', 8 * #windows)
      else
        local older, known, first_time, floor = struct.unpack('<dddd', told[n])
        if time < floor then return early(floor) end
        if known == math.huge then known = 0 end -- all are gone: there is no first one
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
for _, members in ipairs(taken_back) do reply[#reply + 1] = members end
return reply
