-- Says that a process lives, and forgets those that do not any more.
--
-- KEYS: 1 nodes
-- ARGV: 1 owner, 2 'worker' or 'web', 3 how long that is good for, ms
-- gives the owners that are workers

local time = redis.call('TIME')
local now = time[1] * 1000 + math.floor(time[2] / 1000)
local nodes = redis.call('HGETALL', KEYS[1])
redis.call('HSET', KEYS[1], ARGV[1], string.format('%.0f %s', now + ARGV[3], ARGV[2]))
local workers = {}
if ARGV[2] == 'worker' then
  workers[1] = ARGV[1]
end
for i = 1, #nodes, 2 do
  if nodes[i] ~= ARGV[1] then
    local dies_at, role = string.match(nodes[i + 1], '^(%d+) (%a+)$')
    if not dies_at or tonumber(dies_at) <= now then
      redis.call('HDEL', KEYS[1], nodes[i])
    elseif role == 'worker' then
      workers[#workers + 1] = nodes[i]
    end
  end
end
return workers
