-- Stores a token, unless a newer one is there.
--
-- KEYS: 1 token
-- ARGV: 1 version, 2 what is sealed, 3 how long it lives, ms
-- gives 1, or 0 when a newer one is there

local stored = tonumber(redis.call('HGET', KEYS[1], 'stored') or '0')
if stored > tonumber(ARGV[1]) then
  return 0
end
local time = redis.call('TIME')
local now = time[1] * 1000 + math.floor(time[2] / 1000)
redis.call('HSET', KEYS[1], 'sealed', ARGV[2], 'stored', ARGV[1], 'until', string.format('%.0f', now + ARGV[3]))
return 1
