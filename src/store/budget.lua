-- Takes one call from each window of a family, or from none.
--
-- KEYS: 1 budget
-- ARGV: for each window: length in ms, most calls
-- gives 0, or how many ms to wait
--
-- A window is counted in twentieths that slide with the clock. A twentieth counts until all of it is older than the
-- window, so no stretch of that length ever holds more calls than it may.

local SLICES = 20
local time = redis.call('TIME')
local now = time[1] * 1000 + math.floor(time[2] / 1000)

local function slice_of(length)
  return math.max(1, math.ceil(length / SLICES))
end

local function field(length, slice)
  return string.format('%.0f:%.0f', length, slice)
end

local wait, longest = 0, 0
for i = 1, #ARGV, 2 do
  local length, most = tonumber(ARGV[i]), tonumber(ARGV[i + 1])
  local slice = slice_of(length)
  local slices, current = math.ceil(length / slice), math.floor(now / slice)
  local fields = {}
  for s = current - slices, current do
    fields[#fields + 1] = field(length, s)
  end
  local used, oldest = 0, current
  for n, count in ipairs(redis.call('HMGET', KEYS[1], unpack(fields))) do
    if count then
      if used == 0 then
        oldest = current - slices + n - 1
      end
      used = used + tonumber(count)
    end
  end
  if used >= most then
    wait = math.max(wait, (oldest + slices + 1) * slice - now)
  end
  longest = math.max(longest, length)
end
if wait > 0 then
  return wait
end

local is_new_slice = false
for i = 1, #ARGV, 2 do
  local length = tonumber(ARGV[i])
  local current = math.floor(now / slice_of(length))
  is_new_slice = redis.call('HINCRBY', KEYS[1], field(length, current), 1) == 1 or is_new_slice
end
if is_new_slice then
  redis.call('PEXPIRE', KEYS[1], longest * 2)
  for _, name in ipairs(redis.call('HKEYS', KEYS[1])) do
    local length, slice = string.match(name, '^(%d+):(%d+)$')
    length, slice = tonumber(length), tonumber(slice)
    if not slice or (slice + 1) * slice_of(length) + length < now then
      redis.call('HDEL', KEYS[1], name)
    end
  end
end
return 0
