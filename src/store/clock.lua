-- Moves the clock's offset, forwards only. The first one is taken as it is, also when it lies behind real time.
--
-- KEYS: 1 clock
-- ARGV: 1 offset in ms
-- gives the offset in force, ms

local offset = tonumber(redis.call('GET', KEYS[1]) or '')
local wanted = tonumber(ARGV[1])
if not offset or wanted > offset then
  redis.call('SET', KEYS[1], ARGV[1])
  return wanted
end
return offset
