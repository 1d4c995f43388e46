-- Events as they happen, each once.
-- ARGV: settings, seconds to keep a user, longest memory, then (user, item, identity, has event_id, is in the tables,
-- known, time, member)... Gives a letter for each: n new, d duplicate, l too late for the windows, m the user has to
-- be filled from the tables first.
local meta, refused = whole_meta(ARGV[1])
if refused then return refused end
local keep, longest, clock = tonumber(ARGV[2]), tonumber(ARGV[3]), meta.clock
local became = {}
for at = 4, #ARGV, 8 do
  local user, item, identity, has_id, in_tables, known, time, member = unpack(ARGV, at, at + 7)
  local key, when = user_key(user), tonumber(known)
  local state = 'n'
  if when <= meta.horizon - meta.window then
    state = 'l'
  elseif in_tables == '1' and redis.call('EXISTS', key) == 0 and not is_forgotten(user) then
    state = 'm'
  elseif has_id == '1' and redis.call('ZADD', IDS, 'NX', known, identity) == 0 then
    state = 'd'
  elseif redis.call('ZADD', item_key(item), 'NX', known, identity) == 0 then
    state = 'd'
  else
    note_first(item, nil, when, tonumber(time))
    redis.call('ZADD', key, known, member)
    trim(user, longest)
    redis.call('EXPIRE', key, keep)
    clock = math.max(clock, when)
  end
  became[#became + 1] = state
end
if clock > meta.clock then redis.call('HSET', META, 'clock', exact(clock)) end
return table.concat(became)
