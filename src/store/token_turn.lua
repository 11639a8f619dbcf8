-- Gives leave to refresh a token, unless a turn is under way or was a moment ago.
--
-- KEYS: 1 token
-- ARGV: 1 how long until the next turn, ms
-- gives the version that the new token will have, or false

local time = redis.call('TIME')
local now = time[1] * 1000 + math.floor(time[2] / 1000)
local turn = redis.call('HMGET', KEYS[1], 'turn_until', 'version')
if turn[1] and tonumber(turn[1]) > now then
  return false
end
-- Versions follow the clock, in microseconds, so that they grow even when Redis came back empty.
local version = math.max((tonumber(turn[2]) or 0) + 1, time[1] * 1000000 + time[2])
local text = string.format('%.0f', version)
redis.call('HSET', KEYS[1], 'version', text, 'turn_until', string.format('%.0f', now + ARGV[1]))
return text
