-- Events as they happen, each once, and cancellations.
-- ARGV: settings, seconds to keep a user, longest memory, then (user, item, identity, has event_id, is in the tables,
-- known, time, member, the identity that it cancels or '', the tables know that one)... Gives a letter for each: n new,
-- d duplicate, l too late for the windows, o it cancels what is or may be too old, m the user has to be filled from the
-- tables first.
local meta, refused = whole_meta(ARGV[1])
if refused then return refused end
local keep, longest, clock = tonumber(ARGV[2]), tonumber(ARGV[3]), meta.clock

local function cancel(user, item, identity, known, target, in_tables)
  if redis.call('ZSCORE', IDS, identity) then return 'd' end
  local is_here = redis.call('ZSCORE', IDS, target) or redis.call('ZSCORE', DEAD, target)
  if not is_here and (in_tables == '1' or may_be_a_number(user, item, target)) then return 'o' end
  local state, changed = take_back(user, item, target, tonumber(known), longest)
  if state == 'n' then redis.call('ZADD', IDS, known, identity) end
  if changed then clock = math.max(clock, tonumber(known)) end
  return state
end

local function add(user, item, identity, has_id, known, time, member)
  local when = tonumber(known)
  if has_id == '1' and redis.call('ZADD', IDS, 'NX', known, identity) == 0 then return 'd' end
  local gone = has_id == '1' and redis.call('ZSCORE', waiting_key(user), identity .. item)
  local older, first_known, first_time, floor = noted(item)
  if gone then -- its cancellation came first
    redis.call('ZREM', waiting_key(user), identity .. item)
    redis.call('ZADD', DEAD, known, identity)
    local ever = tonumber(gone) > when
    note_gone(user, ever and gone or '-inf', member, longest)
    if ever then
      note(item, older, first_known, first_time, math.max(floor, tonumber(gone)))
      clock = math.max(clock, tonumber(gone))
    end
    return 'n'
  end
  if redis.call('ZADD', item_key(item), 'NX', known, string.sub(member, 1, HEAD)) == 0 then return 'd' end
  if when < first_known or (when == first_known and tonumber(time) < first_time) then
    first_known, first_time = when, tonumber(time)
  end
  note(item, older, first_known, first_time, floor)
  redis.call('ZADD', user_key(user), known, member)
  trim(user, longest)
  clock = math.max(clock, when)
  return 'n'
end

local became = {}
for at = 4, #ARGV, 10 do
  local user, item, identity, has_id, in_tables, known, time, member, target, is_known = unpack(ARGV, at, at + 9)
  local state
  if target == '' and tonumber(known) <= meta.horizon - meta.window then
    state = 'l'
  elseif in_tables == '1' and not is_held(user) and not is_forgotten(user) then
    state = 'm'
  elseif target ~= '' then
    state = cancel(user, item, identity, known, target, is_known)
  else
    state = add(user, item, identity, has_id, known, time, member)
  end
  if state == 'n' then keep_alive(user, keep) end
  became[#became + 1] = state
end
if clock > meta.clock then redis.call('HSET', META, 'clock', exact(clock)) end
return table.concat(became)
