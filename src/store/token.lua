-- The stored token, while it lives.
--
-- KEYS: 1 token
-- gives { what is sealed, its version }, or false

local stored = redis.call('HMGET', KEYS[1], 'sealed', 'stored', 'until')
local time = redis.call('TIME')
local now = time[1] * 1000 + math.floor(time[2] / 1000)
if not stored[1] or not stored[2] or not stored[3] or tonumber(stored[3]) <= now then
  return false
end
return { stored[1], stored[2] }
