-- Pauses a family. A longer pause that is under way is not cut short.
--
-- KEYS: 1 paused
-- ARGV: 1 family, 2 how long, ms, 3 reason

local time = redis.call('TIME')
local now = time[1] * 1000 + math.floor(time[2] / 1000)
local paused = redis.call('HGETALL', KEYS[1])
for i = 1, #paused, 2 do
  local ends = tonumber(string.match(paused[i + 1], '^%d+')) or 0
  if ends <= now then
    redis.call('HDEL', KEYS[1], paused[i])
  elseif paused[i] == ARGV[1] and ends > now + ARGV[2] then
    return 0
  end
end
redis.call('HSET', KEYS[1], ARGV[1], string.format('%.0f %s', now + ARGV[2], ARGV[3]))
return 1
