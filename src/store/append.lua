-- Appends one event to its shard's stream unless its id was seen before.
--
-- KEYS: 1 stream, 2 where the id is remembered, 3… where it may have been remembered before
-- ARGV: 1 event, 2 'week' or 'business', 3 how long to remember: ms (week), until Unix s (business),
--       4 digest of the id (business)
-- gives 1 when it is new, 0 when it is a duplicate
--
-- To remember an id and to learn that it was known is one command. An event that then finds no place in the stream is
-- forgotten again: nothing happened.

local is_business = ARGV[2] == 'business'

local function remembered()
  if not is_business then
    return redis.call('SET', KEYS[2], '', 'NX', 'PX', ARGV[3])
  end
  for i = 3, #KEYS do
    if redis.call('HEXISTS', KEYS[i], ARGV[4]) == 1 then
      return false
    end
  end
  return redis.call('HSETNX', KEYS[2], ARGV[4], '') == 1
end

if not remembered() then
  return 0
end
local added = redis.pcall('XADD', KEYS[1], '*', 'e', ARGV[1])
if type(added) == 'table' and added.err then
  if is_business then
    redis.call('HDEL', KEYS[2], ARGV[4])
  else
    redis.call('DEL', KEYS[2])
  end
  return redis.error_reply(added.err)
end
if is_business and redis.call('HLEN', KEYS[2]) == 1 then
  redis.call('EXPIREAT', KEYS[2], ARGV[3])
end
return 1
