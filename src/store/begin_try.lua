-- Notes that a try begins, before the call is made.
--
-- KEYS: 1 fence, 2 effect
-- ARGV: 1 fence of the caller, 2 the effect that replaces the frozen one ('' when it stays)
-- gives 1, or 0 when the fence is old or the effect is gone

if redis.call('GET', KEYS[1]) ~= ARGV[1] or redis.call('HEXISTS', KEYS[2], 'json') == 0 then
  return 0
end
local tries = redis.call('HGET', KEYS[2], 'tries') or '0'
if not string.find(tries, '^%d+$') then
  return redis.error_reply('WRONGTYPE ' .. KEYS[2] .. ' has tries that are not a number')
end
if ARGV[2] ~= '' then
  redis.call('HSET', KEYS[2], 'json', ARGV[2])
end
redis.call('HSET', KEYS[2], 'tries', tries + 1, 'last_try', 'begun')
return 1
