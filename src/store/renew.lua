-- Renews a lease. One that ran out while nobody else took the shard is taken up again: the fence proves it.
--
-- KEYS: 1 lease, 2 fence
-- ARGV: 1 owner, 2 lease in ms, 3 fence
-- gives 1, or 0 when the shard is lost

if redis.call('GET', KEYS[2]) ~= ARGV[3] then
  return 0
end
redis.call('SET', KEYS[1], ARGV[1], 'PX', ARGV[2])
return 1
