-- Begins a publish: from now on only its own scripts can publish, and only times are answered that both the old and the
-- new state can answer.
-- ARGV: token, settings, store, longest window, horizon, seconds after which keys expire or '', 1 if nothing is left of
-- what was there.
-- Returns 'begun'. Or nothing has begun, and all that is there has to be removed first: 'new' (nothing is published),
-- 'lost' (some of it is missing), 'format' (another version of recmem published it).
local token, settings, store, window, horizon, expiry, is_empty = unpack(ARGV)
local meta = redis.call('HMGET', META, 'settings', 'store', 'broken', 'census', 'window', 'horizon', 'ttl', 'whole')
if not meta[1] then
  if is_empty ~= '1' then return 'new' end
  ttl = expiry ~= '' and expiry
  put('HSET', META, 'settings', settings, 'store', store, 'publishing', token, 'step', '0')
  if ttl then redis.call('HSET', META, 'ttl', ttl) end
  commit()
  return 'begun'
end
if cjson.decode(meta[1]).format ~= cjson.decode(settings).format then return 'format' end
if meta[1] ~= settings then return redis.error_reply('RECMEM held_settings') end
if store ~= '' and meta[2] ~= '' and meta[2] ~= store then return redis.error_reply('RECMEM held_store') end
if meta[3] or meta[4] ~= census() then return 'lost' end
ttl = meta[7]
if meta[8] == '1' then
  redis.call('HSET', META, 'horizon', exact(math.max(tonumber(meta[6]), tonumber(horizon))))
  redis.call('HSET', META, 'window', exact(math.min(tonumber(meta[5]), tonumber(window))))
end
if store ~= '' then redis.call('HSET', META, 'store', store) end
redis.call('HSET', META, 'publishing', token, 'step', '0')
commit()
return 'begun'
