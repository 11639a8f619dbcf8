-- Settles a try: what it came to and what becomes of the effect are one. Or sets an effect aside that cannot be read.
--
-- KEYS: 1 fence, 2 outbox, 3 urgent outbox, 4 effect, 5 stream, 6 queue of its serial (absent when it has none)
-- ARGV: 1 fence of the caller, 2 id, 3 lane (out or urgent), 4 event ('' for none), 5 'over' or 'again';
--       again only: 6 due in ms, 7 'unanswered' or 'answered', 8 'counts' or 'free'
--       'aside' instead of over, with the dead letters as KEYS[5]: 4 what it holds, 6 what is wrong, 7 about how many are kept
-- gives 1, or 0 when the fence is old
--
-- A repeat changes nothing: an effect that is gone was settled before; one that has no try under way and stands at the
-- very moment it should be put off to was put off before.

local OUTBOX = { out = KEYS[2], urgent = KEYS[3] }

for number, wanted in pairs({ [5] = 'stream', [6] = 'list' }) do
  local found = KEYS[number] and redis.call('TYPE', KEYS[number]).ok or 'none'
  if found ~= 'none' and found ~= wanted then
    return redis.error_reply('WRONGTYPE ' .. KEYS[number] .. ' holds a ' .. found .. ', not a ' .. wanted)
  end
end
if redis.call('GET', KEYS[1]) ~= ARGV[1] then
  return 0
end

-- Takes the effect out of its queue, if it still stands first, and lets the next one go.
local function next_in_queue()
  local lane, due, id = string.match(redis.call('LINDEX', KEYS[6], 0) or '', '^(%a+) (%-?%d+) (.+)$')
  if id == ARGV[2] then
    redis.call('LPOP', KEYS[6])
    lane, due, id = string.match(redis.call('LINDEX', KEYS[6], 0) or '', '^(%a+) (%-?%d+) (.+)$')
  end
  if id then
    redis.call('ZADD', OUTBOX[lane], 'NX', due, id)
  end
end

local outbox = OUTBOX[ARGV[3]]
if ARGV[5] == 'aside' then
  if redis.call('ZREM', outbox, ARGV[2]) == 1 then
    redis.call('XADD', KEYS[5], 'MAXLEN', '~', ARGV[7], '*', 'e', ARGV[4], 'error', ARGV[6])
  end
  redis.call('DEL', KEYS[4])
  if KEYS[6] then
    next_in_queue()
  end
  return 1
end
local state = redis.call('HMGET', KEYS[4], 'json', 'tries', 'last_try')
if ARGV[5] == 'over' then
  if state[1] and ARGV[4] ~= '' then
    redis.call('XADD', KEYS[5], '*', 'e', ARGV[4])
  end
  redis.call('DEL', KEYS[4])
  redis.call('ZREM', outbox, ARGV[2])
  if KEYS[6] then
    next_in_queue()
  end
  return 1
end
if not state[1] then
  return 1
end
local due = redis.call('ZSCORE', outbox, ARGV[2])
local is_under_way = state[3] == 'begun'
if not is_under_way and due and tonumber(due) == tonumber(ARGV[6]) then
  return 1
end
if ARGV[4] ~= '' then
  redis.call('XADD', KEYS[5], '*', 'e', ARGV[4])
end
if is_under_way then
  local tries = tonumber(state[2]) or 0
  if ARGV[8] == 'free' and tries > 0 then
    tries = tries - 1
  end
  redis.call('HSET', KEYS[4], 'tries', tries, 'last_try', ARGV[7])
end
redis.call('ZADD', outbox, ARGV[6], ARGV[2])
return 1
