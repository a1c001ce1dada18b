#!lua name=tandem_config_1
-- Configuration in Redis: written pass by pass by one fenced syncer, read by workers in one round trip.
--
-- A value is msgpack [schema, version, row]; a deleted one keeps its version: [schema, version, nil].
-- version = (fence << 32) | pass. Numbers are doubles here: a version stays exact below 2^53, so fences below 2^21.
--
-- A pass is applied in steps of at most 100 keys (500 block Redis for 1.3 ms), each with a pass number of its own.
--
-- WHY A READER NEVER KEEPS AN OLD VALUE. PASS = version of the last step; CHANGED = name -> version of its last change.
--   1. Functions run alone. A step with version V is refused unless V > PASS; in one moment it writes its values, gives
--      their names the score V and sets PASS = V. So a score is greater than every PASS returned before that write.
--   2. A reader's `seen` is the PASS of its last answer, at moment s; each value it holds was read at or before s and
--      was, by 3, still the stored one at s. A write after s carries V > PASS(s) = seen.
--   3. An answer at moment u lists each name with a score > seen: by 2 all that was written in (s, u]. The reader drops
--      these, stores the values of the same answer (read at u), and sets seen = PASS(u). All it holds is true at u.
--   4. Names are forgotten only up to CHANGED_LOW, and a reader with seen < CHANGED_LOW is told to drop ALL. So is one
--      with seen > PASS: this Redis has lost steps that the reader knows of. A full load ends with CHANGED_LOW = PASS =
--      a version greater than any before, so also a reader that slept through loss and repair drops ALL.
-- Hence `seen` is never ahead of a value that the reader has not dropped. Were PASS written only after the last step of
-- a pass, the proof would hold too, but whoever fetched a name between two steps would be told "stale" until the end.

local KEY = {
  pass = "@PASS@",
  changed = "@CHANGED@",
  changed_low = "@CHANGED_LOW@",
  fence = "@FENCE@",
  fund_versions = "@FUND_VERSIONS@",
  marker = "@MARKER@",
  heartbeat = "@HEARTBEAT@",
  rate_repairs = "@RATE_REPAIRS@",
  sync_status = "@SYNC_STATUS@",
}
local RECORD_PREFIX = "@CONFIG_PREFIX@"
local FUND_PREFIX = "@FUND_TERMS_PREFIX@"
local RATE_PREFIX = "@RATE_PREFIX@"

local CHANGED_KEEP = 100000 -- members of CHANGED kept for readers that lag
local CHANGED_REPLY_MAX = 1000 -- above this a reader drops everything: cheaper than the list
local TRIM_MAX = 500 -- members removed by one call; 5000 would block Redis for milliseconds
local RECORDS_MAX = 512
local DEPTH_MAX = 24 -- number -> 5 that forward, a group, a user, its line -> account -> 7 parents -> tariff -> rates
local RATE_FIELD_DIGITS = 4 -- kemi/core/prefix.py BUCKET_DIGITS
local RATE_LAYERS = "layers" -- field of a rate hash: ids of the hashes beneath it, newest first, "7,3"
local NIL = 0xc0 -- msgpack

-- Where rows name other records. `at`: positions from 1, one per level of nesting; `field`: the same path in the words
-- of kemi/records (tests/contract/test_tables.py compares them); 0 and "" name nothing. to = "": the field is a short
-- name already (a destination).
local LINKS = {
  { kind = "sub", at = { 4 }, field = "account_id", to = "acct:" },
  { kind = "sub", at = { 3 }, field = "domain", to = "dom:" },
  { kind = "sub", at = { 11 }, field = "rewrite_set_id", to = "rws:" },
  { kind = "sub", at = { 12 }, field = "barring_id", to = "bar:" },
  { kind = "sub", at = { 13 }, field = "own_barring_id", to = "bar:" },
  { kind = "sub", at = { 22, 3 }, field = "forwards.to", to = "" },
  { kind = "sub", at = { 22, 6 }, field = "forwards.time_set_id", to = "tset:" },
  { kind = "acct", at = { 2 }, field = "parent_id", to = "acct:" },
  { kind = "acct", at = { 7 }, field = "tariff_id", to = "tar:" },
  { kind = "acct", at = { 14 }, field = "barring_id", to = "bar:" },
  { kind = "acct", at = { 15 }, field = "own_barring_id", to = "bar:" },
  { kind = "bar", at = { 5 }, field = "time_set_id", to = "tset:" },
  { kind = "dom", at = { 5 }, field = "rewrite_set_id", to = "rws:" },
  { kind = "num", at = { 2 }, field = "account_id", to = "acct:" },
  { kind = "num", at = { 4 }, field = "subscriber", to = "sub:" },
  { kind = "num", at = { 5 }, field = "to", to = "" },
  { kind = "user", at = { 2 }, field = "account_id", to = "acct:" },
  { kind = "user", at = { 5 }, field = "lines", to = "sub:" },
  { kind = "user", at = { 9, 3 }, field = "forwards.to", to = "" },
  { kind = "user", at = { 9, 6 }, field = "forwards.time_set_id", to = "tset:" },
  { kind = "grp", at = { 2 }, field = "account_id", to = "acct:" },
  { kind = "grp", at = { 5, 1 }, field = "members.to", to = "" },
  { kind = "grp", at = { 9 }, field = "overflow", to = "" },
  { kind = "flow", at = { 2 }, field = "account_id", to = "acct:" },
  { kind = "flow", at = { 4, 2 }, field = "steps.to", to = "" },
  { kind = "flow", at = { 4, 5 }, field = "steps.time_set_id", to = "tset:" },
  { kind = "ext", at = { 1 }, field = "account_id", to = "acct:" },
  { kind = "ext", at = { 3 }, field = "to", to = "" },
  { kind = "src", at = { 1, 8 }, field = "entries.subscriber", to = "sub:" },
  { kind = "src", at = { 1, 6 }, field = "entries.group_id", to = "pg:" },
  { kind = "rules", at = { 1, 2 }, field = "entries.group_id", to = "pg:" },
  { kind = "rules", at = { 1, 11 }, field = "entries.time_set_id", to = "tset:" },
  { kind = "lnp", at = { 3 }, field = "group_id", to = "pg:" },
  { kind = "peers", at = { 1 }, field = "group_ids", to = "pg:" },
  { kind = "pg", at = { 3 }, field = "account_id", to = "acct:" },
  { kind = "pg", at = { 6 }, field = "tariff_id", to = "tar:" },
  { kind = "pg", at = { 8 }, field = "rewrite_set_id", to = "rws:" },
  { kind = "pg", at = { 9, 8 }, field = "servers.rewrite_set_id", to = "rws:" },
  { kind = "tar", at = { 5 }, field = "rate_set_id", to = "rset:" },
  { kind = "tar", at = { 10 }, field = "inbound_rate_set_id", to = "rset:" },
  { kind = "tar", at = { 11, 2 }, field = "decks.rate_set_id", to = "rset:" },
  { kind = "emergency", at = { 1, 3 }, field = "routes.group_ids", to = "pg:" },
}

local LINKS_OF = {} -- kind -> its links; Redis has no ipairs for a library that is being loaded
for i = 1, #LINKS do
  local links = LINKS_OF[LINKS[i].kind] or {}
  links[#links + 1] = LINKS[i]
  LINKS_OF[LINKS[i].kind] = links
end

-- "%.14g", Lua's own way to write a number, loses digits of a version.
local function digits_of(number)
  return string.format("%.0f", number)
end

local function number_at(key)
  return tonumber(redis.call("GET", key) or "0")
end

-- Returns an error reply when this syncer may not write, else nil; a higher fence than the stored one takes over.
--   FENCED: another syncer has taken over. LOST: PASS is not what this syncer left: Redis was rolled back, emptied or
--   replaced.
local function refusal(fence, expected_pass)
  local highest = number_at(KEY.fence)
  if fence < highest then
    return redis.error_reply("FENCED by " .. digits_of(highest))
  end
  local pass = number_at(KEY.pass)
  if expected_pass and pass ~= expected_pass then
    return redis.error_reply("LOST pass is " .. digits_of(pass))
  end
  if fence > highest then
    redis.call("SET", KEY.fence, digits_of(fence))
  end
  return nil
end

-- Version of a stored value, 0 when there is none. Only the head is decoded: byte 1 is the array of three.
local function version_of(value)
  if not value then
    return 0
  end
  local readable, _, _, version = pcall(cmsgpack.unpack_limit, value, 2, 1)
  return readable and tonumber(version) or 0
end

-- Tells whether a record stands in a value, without decoding it: price classes come by the thousand.
local function is_living(value)
  if not value then
    return false
  end
  local readable, offset = pcall(cmsgpack.unpack_limit, value, 2, 1)
  return readable and string.byte(value, offset + 1) ~= NIL
end

-- Forgets the oldest names beyond CHANGED_KEEP.
local function trim()
  local surplus = redis.call("ZCARD", KEY.changed) - CHANGED_KEEP
  if surplus <= 0 then
    return
  end
  local gone = redis.call("ZPOPMIN", KEY.changed, math.min(surplus, TRIM_MAX))
  redis.call("SET", KEY.changed_low, digits_of(math.max(number_at(KEY.changed_low), tonumber(gone[#gone]))))
end

local function write_record(key, version, value)
  if version <= version_of(redis.call("GET", key)) then
    return 0
  end
  redis.call("SET", key, value)
  redis.call("ZADD", KEY.changed, "GT", digits_of(version), string.sub(key, #RECORD_PREFIX + 1))
  return 1
end

-- Money functions read the terms of a fund live and nobody caches them: no entry in CHANGED.
local function write_fund(key, version, value)
  local fund = string.sub(key, #FUND_PREFIX + 1)
  if version <= tonumber(redis.call("HGET", KEY.fund_versions, fund) or "0") then
    return 0
  end
  if value == "" then
    redis.call("DEL", key)
  else
    redis.call("SET", key, value)
  end
  redis.call("HSET", KEY.fund_versions, fund, digits_of(version))
  return 1
end

-- tandem_apply_1(keys = [value key ...], args = [fence, expected pass, version, value ...])
-- One step: a value per key, at most 100: the whole of a record, or the terms of a fund ("" = no such fund now).
-- Returns how many were written; a value whose stored version is not lower is left alone.
local function apply(keys, args)
  local version = tonumber(args[3])
  local refused = refusal(tonumber(args[1]), tonumber(args[2]))
  if refused then
    return refused
  end
  if version <= number_at(KEY.pass) then
    return redis.error_reply("OLD version " .. args[3])
  end
  local written = 0
  for i, key in ipairs(keys) do
    local is_record = string.sub(key, 1, #RECORD_PREFIX) == RECORD_PREFIX
    written = written + (is_record and write_record or write_fund)(key, version, args[i + 3])
  end
  redis.call("SET", KEY.pass, digits_of(version))
  trim()
  return written
end

-- tandem_rates_1(keys = [rate hash], args = [fence, expected pass or "", field, bucket, ...])
-- Adds buckets of one immutable rate set, at most 100; the same bytes again do no harm. No field: removes the hash, its
-- set is gone, and open calls have pinned their prices. Readers reach a hash only through a set's record applied after
-- it, so it may be written beside the passes: then no pass is expected.
local function rates(keys, args)
  local refused = refusal(tonumber(args[1]), tonumber(args[2]))
  if refused then
    return refused
  end
  if #args == 2 then
    return redis.call("UNLINK", keys[1])
  end
  return redis.call("HSET", keys[1], unpack(args, 3))
end

-- tandem_mend_rates_1(keys = [rate hash], args = [fence, count, field, bucket, ... count times, field ...])
-- Puts right what was found wrong in the hash of a set that readers use: writes buckets, then removes fields, together
-- at most 100. Readers keep buckets for ever: the counter that this moves makes them drop all they hold.
local function mend_rates(keys, args)
  local refused = refusal(tonumber(args[1]), nil)
  if refused then
    return refused
  end
  local last = 2 + 2 * tonumber(args[2])
  if last > 2 then
    redis.call("HSET", keys[1], unpack(args, 3, last))
  end
  if #args > last then
    redis.call("HDEL", keys[1], unpack(args, last + 1))
  end
  return redis.call("INCR", KEY.rate_repairs)
end

-- tandem_load_1(keys = [value key ...], args = [fence, expected pass, version, value ...])
-- As tandem_apply_1, for a full load: nobody is served (no MARKER) and every reader drops all at its end, so nothing is
-- looked at before it is written, no names are kept, and all of it may have one version.
local function load_values(keys, args)
  local refused = refusal(tonumber(args[1]), tonumber(args[2]))
  if refused then
    return refused
  end
  local version = tonumber(args[3])
  if version < number_at(KEY.pass) then
    return redis.error_reply("OLD version " .. args[3])
  end
  if redis.call("EXISTS", KEY.marker) == 1 then
    return redis.error_reply("SERVED readers use what stands here")
  end
  local pairs_of, funds = {}, {}
  for i, key in ipairs(keys) do
    pairs_of[2 * i - 1] = key
    pairs_of[2 * i] = args[i + 3]
    if string.sub(key, 1, #FUND_PREFIX) == FUND_PREFIX then
      funds[#funds + 1] = string.sub(key, #FUND_PREFIX + 1)
      funds[#funds + 1] = digits_of(version)
    end
  end
  redis.call("MSET", unpack(pairs_of))
  if #funds > 0 then
    redis.call("HSET", KEY.fund_versions, unpack(funds))
  end
  redis.call("SET", KEY.pass, digits_of(version))
  return #keys
end

-- Says that the syncer lives, and how it is doing: a JSON object for the NOC, "" leaves the last one.
local function say(status)
  local now = redis.call("TIME")
  redis.call("SET", KEY.heartbeat, digits_of(now[1] * 1000 + math.floor(now[2] / 1000)))
  if status ~= "" then
    redis.call("SET", KEY.sync_status, status)
  end
end

-- tandem_sync_status_1(args = [fence, status])
-- A sign of life where a pass cannot be ended: during a load, or when the syncer freezes.
local function sync_status(_, args)
  local refused = refusal(tonumber(args[1]), nil)
  if refused then
    return refused
  end
  say(args[2])
  return redis.status_reply("OK")
end

-- tandem_commit_pass_1(args = [fence, expected pass, marker, version or "", status or ""])
-- Ends a pass, or says between passes that the syncer lives. With a version it ends a full load, or begins a repair:
-- every reader drops all that it holds. Without MARKER readers use nothing.
local function commit_pass(_, args)
  local refused = refusal(tonumber(args[1]), tonumber(args[2]))
  if refused then
    return refused
  end
  if args[4] ~= "" then
    redis.call("SET", KEY.pass, args[4])
    redis.call("SET", KEY.changed_low, args[4])
    redis.call("UNLINK", KEY.changed)
  end
  redis.call("SET", KEY.marker, args[3])
  say(args[5] or "")
  return redis.status_reply("OK")
end

-- tandem_begin_1(args = [fence, "1" to forget])
-- Takes over: a syncer with a lower fence is refused from now on. Forget, before the load of ANOTHER database: without
-- MARKER nobody uses what stands here, which would mix two worlds. Returns [PASS, MARKER or nil].
local function begin(_, args)
  local refused = refusal(tonumber(args[1]), nil)
  if refused then
    return refused
  end
  if args[2] == "1" then
    redis.call("DEL", KEY.marker)
  end
  return { digits_of(number_at(KEY.pass)), redis.call("GET", KEY.marker) }
end

-- Adds the names that `value` leads to; path: positions still to go down; a list stands for each of its items.
local function collect(value, path, depth, to, add)
  local part = value[path[depth]]
  if type(part) ~= "table" then
    if depth == #path and part and part ~= 0 and part ~= "" then
      add(to .. (type(part) == "number" and digits_of(part) or part))
    end
    return
  end
  for _, item in ipairs(part) do
    if type(item) == "table" then
      collect(item, path, depth + 1, to, add)
    elseif depth == #path and item ~= 0 and item ~= "" then
      add(to .. (type(item) == "number" and digits_of(item) or item))
    end
  end
end

local function follow(name, value, add)
  local links = LINKS_OF[string.match(name, "^[^:]*")]
  if not links then
    return
  end
  local readable, decoded = pcall(cmsgpack.unpack, value)
  local row = readable and type(decoded) == "table" and decoded[3]
  if type(row) ~= "table" then
    return
  end
  for _, link in ipairs(links) do
    collect(row, link.at, 1, link.to, add)
  end
end

-- Adds to `found` the names and all that they lead to, nearest first. found: known = name -> true, count of these,
-- records = {name, value or false, ...}, rate_sets = {id, ...} of living ones. has = name -> true: rate sets that the
-- reader has already; thousands of prices need not be sent again for one more bucket.
local function add_closure(found, names, has)
  local level = {}
  local function add(name)
    if not found.known[name] and found.count < RECORDS_MAX then
      found.known[name] = true
      found.count = found.count + 1
      level[#level + 1] = name
    end
  end
  for _, name in ipairs(names) do
    add(name)
  end
  for _ = 1, DEPTH_MAX do
    if #level == 0 then
      break
    end
    local asked, keys = level, {}
    level = {}
    for i, name in ipairs(asked) do
      keys[i] = RECORD_PREFIX .. name
    end
    local values = redis.call("MGET", unpack(keys))
    for i, name in ipairs(asked) do
      local rate_set = string.match(name, "^rset:(%d+)$")
      if rate_set and is_living(values[i]) then
        found.rate_sets[#found.rate_sets + 1] = rate_set
      end
      if not has[name] then
        found.records[#found.records + 1] = name
        found.records[#found.records + 1] = values[i]
      end
      if values[i] then
        follow(name, values[i], add)
      end
    end
  end
end

-- Returns by which number carriers of `callee` are chosen: by the longest ported one among the records that begins it,
-- as kemi/core/ported.py does; nil where none does.
local function routing_of(records, callee)
  local longest, routing = 0, nil
  for i = 1, #records, 2 do
    local digits = string.match(records[i], "^lnp:(%d+)$")
    if digits and records[i + 1] and #digits > longest and string.sub(callee, 1, #digits) == digits then
      local readable, decoded = pcall(cmsgpack.unpack, records[i + 1])
      local row = readable and type(decoded) == "table" and decoded[3]
      if type(row) == "table" and type(row[2]) == "string" then
        longest = #digits
        routing = (row[2] ~= "" and row[2] or digits) .. string.sub(callee, #digits + 1)
      end
    end
  end
  return routing
end

-- Returns the names by which carriers of `number` are found: rules of each owner of whom `names` has some, for every
-- beginning of the number, and what a call there is expected to last.
local function names_by_routing(names, number)
  local owners, added = {}, { "dest:" .. string.sub(number, 1, 2) }
  for _, name in ipairs(names) do
    local owner = string.match(name, "^rules:%d+:")
    if owner and not owners[owner] then
      owners[owner] = true
      for length = 0, #number do
        added[#added + 1] = owner .. string.sub(number, 1, length)
      end
    end
  end
  return added
end

-- Adds the first bucket at each field that a hash or one beneath it has; an empty one says that the field is gone.
local function add_buckets(found, id, fields, asked)
  local values = redis.call("HMGET", RATE_PREFIX .. id, unpack(asked))
  local lower = string.gmatch(values[#asked] or "", "%d+")
  for below in lower do
    local lacking, places = {}, {}
    for j, field in ipairs(fields) do
      if not values[j] then
        lacking[#lacking + 1] = field
        places[#places + 1] = j
      end
    end
    if #lacking == 0 then
      break
    end
    for k, value in ipairs(redis.call("HMGET", RATE_PREFIX .. below, unpack(lacking))) do
      values[places[k]] = value
    end
  end
  for j, field in ipairs(fields) do
    found[#found + 1] = id
    found[#found + 1] = field
    found[#found + 1] = values[j] ~= "" and values[j]
  end
end

-- Returns {rate set id, field, bucket or false, ...} for the first 1 … 4 digits of each number in these rate sets.
-- Of a set without a record nothing is said: it may come, or come back.
local function buckets(rate_sets, numbers)
  local found, fields, is_field = {}, {}, {}
  for _, number in ipairs(numbers) do
    for length = 1, math.min(RATE_FIELD_DIGITS, #number) do
      local field = string.sub(number, 1, length)
      if not is_field[field] then
        is_field[field] = true
        fields[#fields + 1] = field
      end
    end
  end
  if #fields == 0 then
    return found
  end
  local asked = { unpack(fields) }
  asked[#asked + 1] = RATE_LAYERS
  for _, id in ipairs(rate_sets) do
    add_buckets(found, id, fields, asked)
  end
  return found
end

-- Adds to `names` those of `held` (short names between bytes 31, which a reader decides on) that it is about to drop.
-- Under other masks a reader looks at other sources, so with the masks all of `held` that are sources come.
-- Returns those that are rate sets and are not dropped, as name -> true.
local function add_dropped(names, held, all, changed)
  local is_changed, has = {}, {}
  for _, name in ipairs(changed) do
    is_changed[name] = true
  end
  for name in string.gmatch(held, "[^\31]+") do
    if all == 1 or is_changed[name] or (is_changed["masks"] and string.sub(name, 1, 4) == "src:") then
      names[#names + 1] = name
    elseif string.sub(name, 1, 5) == "rset:" then
      has[name] = true
    end
  end
  return has
end

-- Which database stands here, without how far: the marker is "<system> <database> <timeline> <LSN>".
local function world_of(marker)
  return (string.match(marker, "^(.*) %S*$") or marker) .. " " .. (redis.call("GET", KEY.rate_repairs) or "0")
end

-- tandem_fetch_1(args = [seen pass, digits, short name or "?" .. held names, ...])
-- digits: "<called number>" or "<called number>,<routing number>": whose rate buckets come. Where the first one turns
-- out to be ported, what is found by its routing number comes with it instead of in another round trip.
-- Rate sets among the held names that have not changed are not sent again; what is asked for by name always is.
-- Returns [pass, 1 when everything must be dropped, changed names, records, buckets, world]. seen 0: the reader holds
-- nothing. Pass 0: nothing is loaded completely; the rest is empty. World: while it is the same text, rate sets and
-- their buckets are what they were, also where everything else must be dropped.
local function fetch(_, args)
  local marker = redis.call("GET", KEY.marker)
  if not marker then
    return { "0", 1, {}, {}, {}, "" }
  end
  local pass, seen = number_at(KEY.pass), tonumber(args[1])
  local all, changed = 0, {}
  if seen > 0 then
    local above = "(" .. digits_of(seen)
    if seen > pass or seen < number_at(KEY.changed_low)
      or redis.call("ZCOUNT", KEY.changed, above, "+inf") > CHANGED_REPLY_MAX then
      all = 1
    else
      changed = redis.call("ZRANGEBYSCORE", KEY.changed, above, "+inf")
    end
  end
  local names, has = {}, {}
  for i = 3, #args do
    if string.sub(args[i], 1, 1) == "?" then
      has = add_dropped(names, string.sub(args[i], 2), all, changed)
    else
      names[#names + 1] = args[i]
    end
  end
  if all == 1 then
    names[#names + 1] = "masks" -- the reader drops them too, and needs them before it can ask for anything else
  end
  local found = { known = {}, count = 0, records = {}, rate_sets = {} }
  add_closure(found, names, has)
  local numbers = { string.match(args[2], "^(%d*),?(%d*)") }
  local routing = routing_of(found.records, numbers[1])
  if routing and routing ~= numbers[1] then
    add_closure(found, names_by_routing(names, routing), has)
    numbers[#numbers + 1] = routing
  end
  return { digits_of(pass), all, changed, found.records, buckets(found.rate_sets, numbers), world_of(marker) }
end

redis.register_function("tandem_begin_1", begin)
redis.register_function("tandem_apply_1", apply)
redis.register_function("tandem_load_1", load_values)
redis.register_function("tandem_sync_status_1", sync_status)
redis.register_function("tandem_rates_1", rates)
redis.register_function("tandem_mend_rates_1", mend_rates)
redis.register_function("tandem_commit_pass_1", commit_pass)
redis.register_function({ function_name = "tandem_fetch_1", callback = fetch, flags = { "no-writes" } })
