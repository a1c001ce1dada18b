#!lua name=tandem_locations_1
-- Where phones are registered, common to all nodes: written by the node that took a REGISTER, read by the others.
--
-- A contact is a field of its address of record: "<Unix s of its expiry> <packed>". Each is written by itself, so that
-- two nodes that take a phone each of one line at a time lose neither. Expired ones go when the line is written next,
-- and with the whole hash.
--
-- REGISTERED says which lines there are, for a node that starts; MOVED which have changed, for those that run. Who
-- reads MOVED finds in the hash what is true now, so an entry may be read twice, and late.

local KEPT = 100000

local function expiry_of(value)
  return tonumber(string.match(value, '^%d+'))
end

-- keys: the line's hash. args: address of record, node, Unix s, how many contacts are put, (contact, value)…, contacts
-- that are gone. Returns how many of these were there.
local function put(keys, args)
  local location, name, now = keys[1], args[1], tonumber(args[3])
  local last, at = 0, 5
  for _ = 1, tonumber(args[4]) do
    redis.call('HSET', location, args[at], args[at + 1])
    at = at + 2
  end
  local entry = {'node', args[2]}
  local removed = 0
  for i = at, #args do
    removed = removed + redis.call('HDEL', location, args[i])
    entry[#entry + 1] = 'gone'
    entry[#entry + 1] = args[i]
  end
  local rows = redis.call('HGETALL', location)
  for i = 1, #rows, 2 do
    local expiry = expiry_of(rows[i + 1])
    if expiry and expiry > now then
      last = math.max(last, expiry)
    else
      redis.call('HDEL', location, rows[i])
    end
  end
  if last > 0 then
    redis.call('EXPIREAT', location, last)
    redis.call('ZADD', '@REGISTERED@', last, name)
  else
    redis.call('ZREM', '@REGISTERED@', name)
  end
  redis.call('XADD', '@MOVED@', 'MAXLEN', '~', KEPT, '*', 'name', name, unpack(entry))
  return removed
end

-- keys: hashes of lines. Returns field, value, field, … for each.
local function rows(keys)
  local found = {}
  for i, key in ipairs(keys) do
    found[i] = redis.call('HGETALL', key)
  end
  return found
end

redis.register_function('tandem_locations_put_1', put)
redis.register_function{function_name = 'tandem_locations_rows_1', callback = rows, flags = {'no-writes'}}
