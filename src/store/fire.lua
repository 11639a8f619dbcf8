-- Moves due timers into the stream as events. A timer that was moved or cancelled since it was read stays as it is.
--
-- KEYS: 1 fence, 2 timers, 3 stream, 4 dead letters
-- ARGV: 1 fence of the caller, 2 about how many dead letters are kept,
--       3… for each timer: member, due in ms, event, what is wrong with the member ('' when nothing is)
-- gives how many moved; none when the fence is old

for number, wanted in pairs({ [3] = 'stream', [4] = 'stream' }) do
  local found = redis.call('TYPE', KEYS[number]).ok
  if found ~= 'none' and found ~= wanted then
    return redis.error_reply('WRONGTYPE ' .. KEYS[number] .. ' holds a ' .. found .. ', not a ' .. wanted)
  end
end
if redis.call('GET', KEYS[1]) ~= ARGV[1] then
  return 0
end
local moved = 0
for i = 3, #ARGV, 4 do
  local due = redis.call('ZSCORE', KEYS[2], ARGV[i])
  if due and tonumber(due) == tonumber(ARGV[i + 1]) then
    if ARGV[i + 3] == '' then
      redis.call('XADD', KEYS[3], '*', 'e', ARGV[i + 2])
    else
      redis.call('XADD', KEYS[4], 'MAXLEN', '~', ARGV[2], '*', 'e', ARGV[i + 2], 'error', ARGV[i + 3])
    end
    redis.call('ZREM', KEYS[2], ARGV[i])
    moved = moved + 1
  end
end
return moved
