-- Takes a shard that nobody owns.
--
-- KEYS: 1 lease, 2 fence
-- ARGV: 1 owner, 2 lease in ms
-- gives the new fence, or false when somebody else holds the lease

local holder = redis.call('GET', KEYS[1])
if holder and holder ~= ARGV[1] then
  return false
end
local fence = redis.call('GET', KEYS[2])
local count = fence and tonumber(string.match(fence, '^(%d+):'))
if not count then
  -- A Redis that came back empty counts on from the clock, so that no old fence is ever given out again.
  local time = redis.call('TIME')
  count = time[1] * 1000000 + time[2]
end
fence = string.format('%.0f:%s', count + 1, ARGV[1])
redis.call('SET', KEYS[2], fence)
redis.call('SET', KEYS[1], ARGV[1], 'PX', ARGV[2])
return fence
