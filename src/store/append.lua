-- Appends one event to its shard's stream unless its id was seen before.
--
-- KEYS: 1 stream, 2 where the id is remembered, 3… where it may have been remembered before
-- ARGV: 1 event, 2 'week' or 'business', 3 digest of the id, 4 how long to remember: ms (week), until Unix s (business)
-- gives 1 when it is new, 0 when it is a duplicate

local kind = redis.call('TYPE', KEYS[1]).ok
if kind ~= 'stream' and kind ~= 'none' then
  return redis.error_reply('WRONGTYPE ' .. KEYS[1] .. ' holds a ' .. kind .. ', not a stream')
end

if ARGV[2] == 'week' then
  if redis.call('EXISTS', KEYS[2]) == 1 then
    return 0
  end
  redis.call('XADD', KEYS[1], '*', 'e', ARGV[1])
  redis.call('SET', KEYS[2], '', 'PX', ARGV[4])
  return 1
end

for i = 2, #KEYS do
  if redis.call('HEXISTS', KEYS[i], ARGV[3]) == 1 then
    return 0
  end
end
redis.call('XADD', KEYS[1], '*', 'e', ARGV[1])
redis.call('HSET', KEYS[2], ARGV[3], '')
if redis.call('HLEN', KEYS[2]) == 1 then
  redis.call('EXPIREAT', KEYS[2], ARGV[4])
end
return 1
