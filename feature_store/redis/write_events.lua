-- Writes events and cancellations as they happen, each once.
-- ARGV: settings, store, seconds to keep a user, most events held, up to when events move the clock, by how much they
-- move it at most (log_clock.clock_step); then for each row: user, item, identity, 1 if it has an event_id, 1 if the
-- tables contain the user, known, time, member, the identity that it cancels or '', 1 if the tables contain that one.
-- Returns the stamp of what is held afterwards, and one letter per row, see memories.WriteOutcome: n new, d duplicate,
-- l too late for the windows, o cancels an event that is or may be too old, a cancels at a time too far ahead, m the user
-- has to be merged from the tables first.
local meta, refusal = published_meta(ARGV[1], ARGV[2])
if refusal then return refusal end
local keep, max_held, clock = tonumber(ARGV[3]), tonumber(ARGV[4]), meta.clock
local latest, longest_step = tonumber(ARGV[5]), tonumber(ARGV[6])
local FIRST_ROW, ROW_LENGTH, MOST_DROPPED = 7, 10, 20

-- Nothing is written if anything is missing of what the rows change.
for at = FIRST_ROW, #ARGV, ROW_LENGTH do
  if not is_user_whole(ARGV[at]) then return redis.error_reply('RECMEM evicted user ' .. ARGV[at]) end
  if not is_item_whole(ARGV[at + 1]) then return redis.error_reply('RECMEM evicted item ' .. ARGV[at + 1]) end
end

local function write_cancellation(user, item, identity, known, target, in_tables)
  if redis.call('ZSCORE', IDS, identity) then return 'd' end
  if tonumber(known) > math.max(latest, clock + longest_step) then return 'a' end
  local is_here = redis.call('ZSCORE', IDS, target) or redis.call('ZSCORE', DEAD, target)
  if not is_here and (in_tables == '1' or may_be_counted_only(user, item, target)) then return 'o' end
  local outcome, has_changed = cancel_event(user, item, target, tonumber(known), max_held)
  if outcome == 'n' then put('ZADD', IDS, known, identity) end
  if has_changed then clock = math.max(clock, tonumber(known)) end
  return outcome
end

-- Writes an event whose cancellation came first: it is remembered as cancelled, and enters no memory or counter.
local function write_cancelled(user, item, identity, known, member, cancelled_at)
  redis.call('ZREM', waiting_key(user), identity .. item)
  put('ZADD', DEAD, known, identity)
  local has_counted = tonumber(cancelled_at) > tonumber(known)
  remember_cancelled(user, has_counted and cancelled_at or '-inf', member, max_held)
  if has_counted then
    local n_older, first_known, first_time, earliest = item_totals(item)
    set_item_totals(item, n_older, first_known, first_time, math.max(earliest, tonumber(cancelled_at)))
    clock = math.max(clock, tonumber(cancelled_at))
  end
end

local function write_event(user, item, identity, has_id, known, time, member)
  if has_id == '1' and put('ZADD', IDS, 'NX', known, identity) == 0 then return 'd' end
  local cancelled_at = has_id == '1' and redis.call('ZSCORE', waiting_key(user), identity .. item)
  if cancelled_at then
    write_cancelled(user, item, identity, known, member, cancelled_at)
    return 'n'
  end
  if put('ZADD', item_key(item), 'NX', known, string.sub(member, 1, COUNTED_BYTES)) == 0 then return 'd' end
  local known_at = tonumber(known)
  local n_older, first_known, first_time, earliest = item_totals(item)
  if known_at < first_known or (known_at == first_known and tonumber(time) < first_time) then
    first_known, first_time = known_at, tonumber(time)
  end
  set_item_totals(item, n_older, first_known, first_time, earliest)
  put('ZADD', user_key(user), known, member)
  trim_memory(user, max_held)
  if known_at <= math.max(latest, clock + longest_step) then clock = math.max(clock, known_at) end
  return 'n'
end

local outcomes = {}
local n_dropped = drop_idle(MOST_DROPPED)
for at = FIRST_ROW, #ARGV, ROW_LENGTH do
  local user, item, identity, has_id, user_in_tables, known, time, member, target, target_in_tables =
    unpack(ARGV, at, at + ROW_LENGTH - 1)
  local outcome
  if target == '' and tonumber(known) <= meta.horizon - meta.window then
    outcome = 'l'
  elseif user_in_tables == '1' and not is_held(user) and not is_forgotten(user) then
    outcome = 'm'
  elseif target ~= '' then
    outcome = write_cancellation(user, item, identity, known, target, target_in_tables)
  else
    outcome = write_event(user, item, identity, has_id, known, time, member)
  end
  if outcome == 'n' then register(user, keep) end
  outcomes[#outcomes + 1] = outcome
end
if clock > meta.clock then redis.call('HSET', META, 'clock', exact(clock)) end
local letters = table.concat(outcomes)
-- A duplicate may have left its identity.
if n_dropped > 0 or string.find(letters, '[nd]') then commit() end
return {meta.stamp .. redis.call('HGET', META, 'seq'), letters}
