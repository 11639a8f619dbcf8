-- Makes a batch take effect: all of it or nothing, once.
--
-- KEYS: 1 fence, 2 cursor (text) or walks (hash), 3… every key the operations touch
-- ARGV: 1 fence of the caller, 2 name of the walk ('' for the cursor), 3 from, 4 to,
--       5 what each key from KEYS[3] on must hold, one letter each,
--       6… operations: command, number of the key, number of arguments, arguments; QUEUE is one of our own
-- gives { outcome, key, what is wrong with it }; 1 done, 2 it was done before, 3 the fence is old, 4 the progress is
-- elsewhere, 5 a key holds what it should not
--
-- A script is not rolled back, so everything that could fail half-way is looked at before the first write, and the
-- progress is written last.

local NAMES = { h = 'hash', l = 'list', z = 'zset', x = 'stream' }

local function differs(key, wanted)
  local found = redis.call('TYPE', key).ok
  if found ~= 'none' and found ~= wanted then
    return { 5, key, 'it holds a ' .. found .. ', not a ' .. wanted }
  end
end

local walk = ARGV[2]
local wrong = differs(KEYS[1], 'string') or differs(KEYS[2], walk == '' and 'string' or 'hash')
if wrong then
  return wrong
end
if redis.call('GET', KEYS[1]) ~= ARGV[1] then
  return { 3, '', '' }
end

local at
if walk == '' then
  at = redis.call('GET', KEYS[2]) or '0-0 0-0'
else
  at = redis.call('HGET', KEYS[2], walk) or ''
end
if at == ARGV[4] then
  return { 2, '', '' }
end
if at ~= ARGV[3] then
  return { 4, '', '' }
end

for i = 3, #KEYS do
  wrong = differs(KEYS[i], NAMES[string.sub(ARGV[5], i - 2, i - 2)])
  if wrong then
    return wrong
  end
end
local i = 6
while i <= #ARGV do
  local key, count = KEYS[tonumber(ARGV[i + 1])], tonumber(ARGV[i + 2])
  if ARGV[i] == 'HINCRBY' then
    local value = redis.call('HGET', key, ARGV[i + 3])
    if value and not (#value <= 15 and string.find(value, '^-?%d+$')) then
      return { 5, key, 'its field ' .. ARGV[i + 3] .. ' is not a number to count on from' }
    end
  end
  i = i + 3 + count
end

-- An effect with a serial: the first of its queue stands in the outbox, the others come after it one by one.
local function queue(line, outbox, effect, json, serial, lane, due, id)
  if redis.call('HSETNX', effect, 'json', json) == 0 then
    return
  end
  redis.call('HSET', effect, 'serial', serial)
  if redis.call('RPUSH', line, lane .. ' ' .. due .. ' ' .. id) == 1 then
    redis.call('ZADD', outbox, due, id)
  end
end

i = 6
while i <= #ARGV do
  local key, count = KEYS[tonumber(ARGV[i + 1])], tonumber(ARGV[i + 2])
  if ARGV[i] == 'QUEUE' then
    queue(key, KEYS[tonumber(ARGV[i + 3])], KEYS[tonumber(ARGV[i + 4])], unpack(ARGV, i + 5, i + 9))
  else
    redis.call(ARGV[i], key, unpack(ARGV, i + 3, i + 2 + count))
  end
  i = i + 3 + count
end
if walk == '' then
  redis.call('SET', KEYS[2], ARGV[4])
else
  redis.call('HSET', KEYS[2], walk, ARGV[4])
end
return { 1, '', '' }
