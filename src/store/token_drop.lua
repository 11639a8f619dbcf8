-- Drops a token, if it is still this one. Its version stays, so that no older one takes its place.
--
-- KEYS: 1 token
-- ARGV: 1 version

if redis.call('HGET', KEYS[1], 'stored') == ARGV[1] then
  redis.call('HDEL', KEYS[1], 'sealed', 'until')
end
return 1
