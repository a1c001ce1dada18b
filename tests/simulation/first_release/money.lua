#!lua name=tandem_money_1
-- Money in Redis: funds, reservations, leases and the events that tell Postgres of them.
--
-- Rule 1: a function reads and validates everything first and writes last: Redis does not roll back.
-- Rule 2: `hold` and `channels` change only together with a lease, `charged` only together with its event (XADD).
-- Rule 3: an operation is applied once. Its id stands in the reservation; a repetition gets its first answer.
-- Rule 4: unarmed, or armed for another epoch than the key says, every operation is refused and changes nothing.
-- Rule 5: amounts are whole micro-units below 2^53, where doubles are still exact.
-- Rule 6: strings are written by ONE command, MSET, whose first key is OPSEQ. Redis checks what a function does with
--   the rights of its caller, so the workers' user needs MSET; it may run it only in this form (redis_functions.py).
--
-- The loader puts the keys of kemi/keys.py where a name stands between two @. Callers declare one key, that of the
-- reservation: all keys of a cell share a hash tag and so a slot, and a declared key costs write permission and time.
--
-- Every function answers {id of the operation, code, opseq, ...}; the caller compares the id to find a connection that
-- is one reply off. Codes: HELD REFUSED STALE VOID APPLIED REPLAYED UNKNOWN UNARMED INVALID OK.

local KEY = {
  epoch = "@EPOCH@",
  opseq = "@OPSEQ@",
  leases = "@LEASES@",
  events = "@EVENTS@",
  pass = "@PASS@",
  changed = "@CHANGED@",
  changed_low = "@CHANGED_LOW@",
  marker = "@MARKER@",
}
local RESERVATION = "@reservation@"
local STATE = "@fund_state@"
local TERMS = "@fund_terms@"

local AMOUNT_MAX = 2 ^ 53 - 1
local ALARM = 2 ^ 50 -- a lifetime sum that passes it is reported: years are left to act
local FUNDS_MAX = 24 -- chains of caller, called number and forwarder, 8 levels each
local ROWS_MAX = 16
local CHANGED_MAX = 512 -- a worker that missed more names drops all: cheaper than the list
local EXPIRED_MAX = 1000
local OPS_KEPT = 4 -- answers kept for repetitions, besides that of the reserve; an agent has one batch on its way
local CLOSED_MS = 3600000 -- how long an ended reservation answers repetitions, and a tombstone stands
local SWEEP = ":sweep:" -- in the operation ids of sweepers, and of nobody else
local MEMORY_SHARE_MAX = 0.8 -- of maxmemory; the rest is for settling what is open

-- Terms: msgpack array, written by the sync.
local CRED, CREDIT_LIMIT, STATUS, CHANNELS_MAX, CPS_MAX = 2, 3, 4, 5, 6
local UNLIMITED, ACTIVE = -1, 0

-- State: layout version, then charged, hold, channels, last event number, and the calls granted in a second of Redis.
-- Windows of spend will follow; what follows is kept as it is.
local STATE_FORMAT = "<Bdddddd"
local STATE_VERSION = 1

-- Reservation: msgpack array, then the msgpack of the pinned call as it came (dropped at the end of the call).
local RESERVATION_VERSION = 1
local OPEN = { held = true, answered = true }

-- Gone with the process, with a reload of the library and on a promoted replica: that is what disarms.
local armed_epoch

local memory_second, memory_is_full = -1, false

-- "%.14g", Lua's own way to write a number, loses digits.
local function digits_of(number)
  return string.format("%.0f", number)
end

local function is_amount(value)
  return type(value) == "number" and value >= 0 and value <= AMOUNT_MAX and value % 1 == 0
end

local function is_array(bytes)
  local first = bytes and string.byte(bytes) or 0
  return (first >= 0x90 and first <= 0x9f) or first == 0xdc or first == 0xdd
end

local function is_armed(epoch)
  return armed_epoch ~= nil and tonumber(epoch) == armed_epoch
end

local function now_ms()
  local now = redis.call("TIME")
  return now[1] * 1000 + math.floor(now[2] / 1000)
end

local function read_state(bytes)
  if not bytes then
    return { charged = 0, hold = 0, channels = 0, events = 0, second = 0, calls = 0, rest = "" }
  end
  local _, charged, hold, channels, events, second, calls, after = struct.unpack(STATE_FORMAT, bytes)
  return {
    charged = charged,
    hold = hold,
    channels = channels,
    events = events,
    second = second,
    calls = calls,
    rest = string.sub(bytes, after),
  }
end

local function pack_state(state)
  return struct.pack(
    STATE_FORMAT,
    STATE_VERSION,
    state.charged,
    state.hold,
    state.channels,
    state.events,
    state.second,
    state.calls
  ) .. state.rest
end

local function read_reservation(bytes)
  local after, row = cmsgpack.unpack_one(bytes, 0)
  return {
    phase = row[2],
    seq = row[3],
    granted_s = row[4],
    answered_ms = row[5],
    node = row[6],
    funds = row[7],
    channels = row[8],
    held = row[9],
    ops = row[10],
    server = row[11] or 0, -- rows of an older release end before it
    pinned = after > 0 and string.sub(bytes, after + 1) or "",
  }
end

local function pack_reservation(r)
  return cmsgpack.pack({
    RESERVATION_VERSION,
    r.phase,
    r.seq,
    r.granted_s,
    r.answered_ms,
    r.node,
    r.funds,
    r.channels,
    r.held,
    r.ops,
    r.server,
  }) .. r.pinned
end

-- A reservation that holds nothing: a tombstone ("void") or a refused call.
local function empty_reservation(phase, seq, op_id)
  return {
    phase = phase,
    seq = seq,
    granted_s = 0,
    answered_ms = 0,
    node = "",
    funds = {},
    channels = {},
    held = {},
    ops = { op_id, 0 },
    server = 0,
    pinned = "",
  }
end

-- What a fund can still spend; false for one without terms or not active: not even a call at price 0 goes on, so the
-- running calls of a suspended account end with their slice.
local function spendable(state, terms)
  if not terms or terms[STATUS] ~= ACTIVE then
    return false
  end
  if terms[CREDIT_LIMIT] == UNLIMITED then
    return math.huge
  end
  return terms[CRED] - state.charged - state.hold + terms[CREDIT_LIMIT]
end

-- Rows are flat: talk seconds, then the cumulative price per fund; columns rise from `floor`, a row of the same form.
local function rows_fault(rows, floor)
  local width = #floor
  if type(rows) ~= "table" or #rows == 0 or #rows % width ~= 0 or #rows > ROWS_MAX * width then
    return "a schedule has 1 to 16 rows with one price per fund"
  end
  for at = 1, #rows do
    local before = rows[at - width] or floor[at]
    if not is_amount(rows[at]) or rows[at] < before then
      return "a schedule's numbers are whole, below 2^53 and do not fall"
    end
    if (at - 1) % width == 0 and rows[at] == before then
      return "a schedule's seconds rise"
    end
  end
  return nil
end

-- Start of the largest row that all funds can pay on top of what they hold; or nil, the first fund that cannot pay the
-- smallest row, and why.
local function affordable(rows, states, held, spends)
  local width, poorest, reason = #states + 1, nil, nil
  for at = #rows - width + 1, 1, -width do
    poorest = nil
    for i = 1, #states do
      local more = rows[at + i] - held[i]
      if states[i].charged + states[i].hold + more > AMOUNT_MAX then
        poorest, reason = i, "full"
      elseif not spends[i] or (more > 0 and more > spends[i]) then
        poorest, reason = i, "credit"
      end
      if poorest then
        break
      end
    end
    if not poorest then
      return at
    end
  end
  return nil, poorest, reason
end

local function append_names(names, prefix, funds)
  for _, fund in ipairs(funds) do
    names[#names + 1] = prefix .. fund
  end
  return names
end

-- States, terms (false where missing) and what can be spent; in `got` all states, then all terms, after `first`.
local function read_funds(funds, got, first)
  local states, terms, spends = {}, {}, {}
  for i = 1, #funds do
    local packed = got[first + #funds + i]
    states[i] = read_state(got[first + i])
    terms[i] = packed and cmsgpack.unpack(packed)
    spends[i] = spendable(states[i], terms[i])
  end
  return states, terms, spends
end

-- What forbids a new call whatever it costs: reason and position of the nearest such fund, or nil. A fund without terms
-- has not arrived from Postgres, or is gone: closed, not free.
local function barred(states, terms, channels, second)
  for i, state in ipairs(states) do
    local t = terms[i]
    if not t or t[STATUS] ~= ACTIVE then
      return "status", i
    end
    if t[CHANNELS_MAX] > 0 and state.channels + channels[i] > t[CHANNELS_MAX] then
      return "channels", i
    end
    if t[CPS_MAX] > 0 and state.second == second and state.calls >= t[CPS_MAX] then
      return "cps", i
    end
  end
  return nil
end

-- Asked of Redis once a second: INFO costs more than a reserve.
local function memory_full(second)
  if second ~= memory_second then
    local info = redis.call("INFO", "memory")
    local used = tonumber(string.match(info, "\nused_memory:(%d+)"))
    local maximum = tonumber(string.match(info, "\nmaxmemory:(%d+)"))
    memory_second, memory_is_full = second, maximum > 0 and used > MEMORY_SHARE_MAX * maximum
  end
  return memory_is_full
end

-- Names changed after `seen`, or nil when that can no longer be told and all must be dropped.
local function changed_since(seen, pass, low, marker)
  if pass > 0 and not marker then
    return nil
  end
  if seen == pass then
    return {}
  end
  if seen > pass or seen < low then
    return nil
  end
  local names = redis.call("ZRANGEBYSCORE", KEY.changed, "(" .. digits_of(seen), "+inf", "LIMIT", 0, CHANGED_MAX + 1)
  return #names <= CHANGED_MAX and names or nil
end

local function intersects(names, used)
  local known = {}
  for _, name in ipairs(names) do
    known[name] = true
  end
  for _, name in ipairs(#names > 0 and cmsgpack.unpack(used) or names) do
    if known[name] then
      return true
    end
  end
  return false
end

local function with(reply, more)
  for _, item in ipairs(more) do
    reply[#reply + 1] = item
  end
  return reply
end

-- Adds the writes of funds to `changes`, the key and value pairs of the MSET that ends an operation.
local function write_states(changes, funds, states)
  for i, fund in ipairs(funds) do
    changes[#changes + 1] = STATE .. fund
    changes[#changes + 1] = pack_state(states[i])
  end
  return changes
end

local function write(opseq, key, r, changes)
  redis.call("MSET", KEY.opseq, digits_of(opseq), key, pack_reservation(r), unpack(changes))
end

local function set_lease(rid, expiry_ms)
  redis.call("ZADD", KEY.leases, digits_of(expiry_ms), rid)
end

local function remember(r, op_id, seq)
  if #r.ops >= 2 * (OPS_KEPT + 1) then
    table.remove(r.ops, 3)
    table.remove(r.ops, 3)
  end
  r.seq = seq
  r.ops[#r.ops + 1] = op_id
  r.ops[#r.ops + 1] = r.granted_s
end

-- One entry of the stream: a CallEvent of kemi/records.py. `call` and `finish` are spliced in as they came.
local function add_event(kind, rid, seq, postings, call, finish)
  local head = "\151" .. cmsgpack.pack(kind, armed_epoch, rid, seq) -- array of 7
  redis.call("XADD", KEY.events, "*", "e", head .. postings .. call .. finish)
end

local function ask_fault(ask, pinned)
  local funds, channels, floor, known = ask[4], ask[5], { 0 }, {}
  if #funds > FUNDS_MAX or #funds ~= #channels then
    return "at most 24 funds, each with its channels"
  end
  for i, fund in ipairs(funds) do
    if known[fund] or not is_amount(channels[i]) then
      return "funds are merged and channels whole"
    end
    known[fund] = true
    floor[i + 1] = 0
  end
  if not is_amount(ask[2]) or not is_amount(ask[3]) or not is_array(pinned) then
    return "lease and pass are whole, the pinned call an array"
  end
  return rows_fault(ask[6], floor)
end

-- Grants row `at`: writes funds, reservation and lease. Returns the seconds granted.
local function grant(key, args, ask, opseq, states, at, now)
  local funds, channels, rows, held = ask[4], ask[5], ask[6], {}
  for i, state in ipairs(states) do
    local second = math.floor(now / 1000)
    held[i] = rows[at + i]
    state.hold = state.hold + held[i]
    state.channels = state.channels + channels[i]
    state.calls = state.second == second and state.calls + 1 or 1
    state.second = second
  end
  local r = {
    phase = "held",
    seq = 0,
    granted_s = rows[at],
    answered_ms = 0,
    node = ask[1],
    funds = funds,
    channels = channels,
    held = held,
    ops = { args[1], rows[at] },
    server = 0,
    pinned = args[5],
  }
  write(opseq, key, r, write_states({}, funds, states))
  set_lease(args[2], now + ask[2])
  return rows[at]
end

-- The answer to a reserve whose reservation exists: what it got at first while that is open, under a code of its own
-- (two requests must not leave as calls on one hold); else VOID, for its hold is gone.
local function reserved_already(op_id, opseq, bytes, seen)
  local r = read_reservation(bytes)
  if OPEN[r.phase] and r.ops[1] == op_id then
    return { op_id, "REPLAYED", opseq, r.ops[2], seen }
  end
  return { op_id, "VOID", opseq }
end

-- tandem_reserve_1(keys = [reservation], args = [op id, rid, ask, used names, pinned call]), all but ids msgpack:
--   ask = [node, lease ms from now, seen pass, funds, channels per fund, rows flat]
-- Holds the largest row that all funds can pay, on all funds or on none, with channels and lease.
-- HELD opseq, seconds, pass, changed names ... | REPLAYED opseq, seconds, pass: held before, by this id
-- | REFUSED opseq, reason, position of the fund (0: none), pass, changed names ...
-- | STALE opseq, pass, changed names ... (none: drop all) | VOID | UNARMED | INVALID opseq, text.
local function reserve(keys, args)
  local op_id, ask = args[1], cmsgpack.unpack(args[3])
  local fault = ask_fault(ask, args[5])
  local names = { KEY.epoch, KEY.opseq, KEY.pass, KEY.changed_low, KEY.marker, keys[1] }
  append_names(append_names(names, STATE, ask[4]), TERMS, ask[4])
  local got = redis.call("MGET", unpack(names))
  local opseq, pass, seen = tonumber(got[2]) or 0, tonumber(got[3]) or 0, ask[3]
  if not is_armed(got[1]) then
    return { op_id, "UNARMED", opseq }
  elseif fault then
    return { op_id, "INVALID", opseq, fault }
  elseif got[6] then
    return reserved_already(op_id, opseq, got[6], seen)
  end
  local changed = changed_since(seen, pass, tonumber(got[4]) or 0, got[5])
  if not changed or intersects(changed, args[4]) then
    return with({ op_id, "STALE", opseq, pass }, changed or {})
  end
  local now = now_ms()
  local second = math.floor(now / 1000)
  if memory_full(second) then
    return with({ op_id, "REFUSED", opseq, "full", 0, pass }, changed)
  end
  local states, terms, spends = read_funds(ask[4], got, 6)
  local reason, position = barred(states, terms, ask[5], second)
  local at
  if not reason then
    local nothing = {}
    for i = 1, #states do
      nothing[i] = 0
    end
    at, position, reason = affordable(ask[6], states, nothing, spends)
  end
  if reason and not at then
    return with({ op_id, "REFUSED", opseq, reason, position, pass }, changed)
  end
  return with({ op_id, "HELD", opseq + 1, grant(keys[1], args, ask, opseq + 1, states, at, now), pass }, changed)
end

-- Opens an operation on a reservation. Returns it and the opseq of the operation; or nil, the reply that ends the
-- operation, and whether Redis knows no such reservation.
local function open(key, op_id, seq)
  local got = redis.call("MGET", KEY.epoch, KEY.opseq, key)
  local opseq = tonumber(got[2]) or 0
  if not is_armed(got[1]) then
    return nil, { op_id, "UNARMED", opseq }
  elseif not got[3] then
    return nil, { op_id, "UNKNOWN", opseq }, true
  end
  local r = read_reservation(got[3])
  for i = 1, r.phase == "void" and 0 or #r.ops, 2 do
    if r.ops[i] == op_id then
      return nil, { op_id, "REPLAYED", opseq, r.ops[i + 1] }
    end
  end
  if not OPEN[r.phase] then
    return nil, { op_id, "UNKNOWN", opseq }
  elseif not is_amount(seq) or seq <= r.seq then
    return nil, { op_id, "INVALID", opseq, "sequence " .. tostring(seq) .. " after " .. digits_of(r.seq) }
  end
  return r, opseq + 1
end

-- tandem_answer_1(keys = [reservation], args = [op id, rid, seq, lease ms from now, node, server id])
-- Marks the call as answered, by which server, and moves its lease.
-- APPLIED or REPLAYED opseq, seconds | UNKNOWN | UNARMED | INVALID.
local function answer(keys, args)
  local op_id, seq, lease_ms, server = args[1], tonumber(args[3]), tonumber(args[4]), tonumber(args[6])
  local r, opseq = open(keys[1], op_id, seq)
  if not r then
    return opseq
  elseif not is_amount(lease_ms) or not is_amount(server) then
    return { op_id, "INVALID", opseq - 1, "the lease is whole milliseconds, the server an id" }
  end
  local now = now_ms()
  r.phase, r.node, r.server = "answered", args[5], server
  r.answered_ms = r.answered_ms > 0 and r.answered_ms or now
  remember(r, op_id, seq)
  write(opseq, keys[1], r, {})
  set_lease(args[2], now + lease_ms)
  return { op_id, "APPLIED", opseq, r.granted_s }
end

-- tandem_extend_1(keys = [reservation], args = [op id, rid, seq, lease ms from now, node, rows flat as msgpack])
-- Holds the largest row that all funds can pay on top of what is held; the lease is that of the last row, shorter by
-- what was not granted. Nothing payable: the seconds stay and so does the lease.
-- APPLIED or REPLAYED opseq, seconds in all | UNKNOWN | UNARMED | INVALID.
local function extend(keys, args)
  local op_id, seq, lease_ms = args[1], tonumber(args[3]), tonumber(args[4])
  local r, opseq = open(keys[1], op_id, seq)
  if not r then
    return opseq
  end
  local rows = cmsgpack.unpack(args[6])
  local fault = rows_fault(rows, { r.granted_s, unpack(r.held) })
  if fault or not is_amount(lease_ms) then
    return { op_id, "INVALID", opseq - 1, fault or "the lease is whole milliseconds" }
  end
  local names = append_names(append_names({ KEY.opseq }, STATE, r.funds), TERMS, r.funds)
  local got = redis.call("MGET", unpack(names))
  local states, _, spends = read_funds(r.funds, got, 1)
  local at, changes = affordable(rows, states, r.held, spends), {}
  if at then
    for i, state in ipairs(states) do
      state.hold = state.hold + rows[at + i] - r.held[i]
      r.held[i] = rows[at + i]
    end
    r.granted_s = rows[at]
    write_states(changes, r.funds, states)
    set_lease(args[2], now_ms() + lease_ms - (rows[#rows - #states] - r.granted_s) * 1000)
  end
  r.node = args[5]
  remember(r, op_id, seq)
  write(opseq, keys[1], r, changes)
  return { op_id, "APPLIED", opseq, r.granted_s }
end

-- Takes the call's hold and channels off the states and charges `prices`. Returns the postings of the event as msgpack,
-- only of funds whose `charged` moves: so a fund's numbers count exactly its ledger entries.
local function post(r, states, prices)
  local postings, count = "", 0
  for i, state in ipairs(states) do
    -- Never below zero: where a state was lost, a negative hold would be credit for ever.
    state.hold = math.max(0, state.hold - r.held[i])
    state.channels = math.max(0, state.channels - r.channels[i])
    if prices[i] > 0 then
      if state.charged < ALARM and state.charged + prices[i] >= ALARM then
        redis.log(redis.LOG_WARNING, "tandem: charges of fund " .. r.funds[i] .. " have passed 2^50")
      end
      state.charged = state.charged + prices[i]
      state.events = state.events + 1
      count = count + 1
      postings = postings .. "\148" .. cmsgpack.pack(r.funds[i], prices[i], state.events, state.charged)
    end
  end
  return (count < 16 and string.char(0x90 + count) or "\220" .. string.char(0, count)) .. postings
end

-- Ends a reservation: charges, gives hold, channels and lease back, and tells of it.
local function finish(kind, phase, args, key, r, opseq, prices, call_end)
  local op_id, rid, seq = args[1], args[2], tonumber(args[3])
  local states, call = {}, r.pinned
  local got = redis.call("MGET", unpack(append_names({ KEY.opseq }, STATE, r.funds)))
  for i = 1, #r.funds do
    states[i] = read_state(got[1 + i])
  end
  local postings = post(r, states, prices)
  r.phase = phase
  if not string.find(op_id, SWEEP, 1, true) then
    r.pinned = "" -- a sweeper only guesses: the node that hears the real end later needs the call
  end
  remember(r, op_id, seq)
  write(opseq, key, r, write_states({}, r.funds, states))
  redis.call("PEXPIRE", key, CLOSED_MS)
  redis.call("ZREM", KEY.leases, rid)
  add_event(kind, rid, seq, postings, call, call_end)
  return { op_id, "APPLIED", opseq, r.granted_s }
end

-- tandem_settle_1(keys = [reservation], args = [op id, rid, seq, billed seconds, prices per fund, CallEnd])
-- Charges each fund its price, at most what it holds, for at most the seconds granted; event "settle".
-- APPLIED or REPLAYED opseq, seconds | UNKNOWN: not held here, to be posted in Postgres | UNARMED | INVALID.
local function settle(keys, args)
  local billed_s, prices = tonumber(args[4]), cmsgpack.unpack(args[5])
  local r, opseq = open(keys[1], args[1], tonumber(args[3]))
  if not r then
    return opseq
  end
  local fault = (#prices ~= #r.funds and "one price per fund")
    or ((not is_amount(billed_s) or billed_s > r.granted_s) and "billed seconds are within those granted")
    or (not is_array(args[6]) and "the end is an array")
  for i, price in ipairs(prices) do
    fault = fault or ((not is_amount(price) or price > r.held[i]) and "a price is within what its fund holds")
  end
  if fault then
    return { args[1], "INVALID", opseq - 1, fault }
  end
  return finish("settle", "settled", args, keys[1], r, opseq, prices, args[6])
end

-- Marks a reservation id as ended for whoever asks later; also ends a lease that stands without its reservation.
local function bury(key, rid, phase, op_id, seq, opseq)
  write(opseq, key, empty_reservation(phase, seq, op_id), {})
  redis.call("PEXPIRE", key, CLOSED_MS)
  redis.call("ZREM", KEY.leases, rid)
end

-- tandem_release_1(keys = [reservation], args = [op id, rid, seq, CallEnd])
-- Gives all back and charges nothing; event "release". An unknown reservation leaves a tombstone, on which the reserve
-- that runs later is void.
-- APPLIED or REPLAYED opseq, seconds | UNKNOWN | UNARMED | INVALID.
local function release(keys, args)
  local op_id, seq = args[1], tonumber(args[3])
  local r, opseq, absent = open(keys[1], op_id, seq)
  if absent then
    bury(keys[1], args[2], "void", op_id, is_amount(seq) and seq or 0, opseq[3] + 1)
    return { op_id, "UNKNOWN", opseq[3] + 1 }
  elseif not r then
    return opseq
  elseif not is_array(args[4]) then
    return { op_id, "INVALID", opseq - 1, "the end is an array" }
  end
  local nothing = {}
  for i = 1, #r.funds do
    nothing[i] = 0
  end
  return finish("release", "released", args, keys[1], r, opseq, nothing, args[4])
end

-- tandem_note_1(keys = [reservation], args = [op id, rid, pinned call, CallEnd])
-- Tells of a call for which nothing was held: event "refused" with sequence 0; a later reserve of it is void.
-- APPLIED or REPLAYED opseq, 0 | UNARMED | INVALID: it is, or was, held.
local function note(keys, args)
  local op_id = args[1]
  if not is_array(args[3]) or not is_array(args[4]) then
    return { op_id, "INVALID", 0, "call and end are arrays" }
  end
  local got = redis.call("MGET", KEY.epoch, KEY.opseq, keys[1])
  local opseq, r = tonumber(got[2]) or 0, got[3] and read_reservation(got[3])
  if not is_armed(got[1]) then
    return { op_id, "UNARMED", opseq }
  elseif r and r.phase == "refused" and r.ops[1] == op_id then
    return { op_id, "REPLAYED", opseq, 0 }
  elseif r and r.phase ~= "void" then
    return { op_id, "INVALID", opseq, "the call was " .. r.phase }
  end
  bury(keys[1], args[2], "refused", op_id, 0, opseq + 1)
  add_event("refused", args[2], 0, "\144", args[3], args[4])
  return { op_id, "APPLIED", opseq + 1, 0 }
end

-- tandem_late_1(keys = [reservation], args = [op id, rid, seq, pinned call, CallEnd])
-- Tells how a call ended whatever became of its reservation: event "late". No money moves here: Postgres posts what is
-- missing. An open reservation stays so until its lease ends, with a sequence above this one.
-- APPLIED or REPLAYED opseq, seconds | UNARMED | INVALID.
local function late(keys, args)
  local op_id, seq = args[1], tonumber(args[3])
  local got = redis.call("MGET", KEY.epoch, KEY.opseq, keys[1])
  local opseq, r = tonumber(got[2]) or 0, got[3] and read_reservation(got[3])
  if not is_armed(got[1]) then
    return { op_id, "UNARMED", opseq }
  elseif not is_amount(seq) or not is_array(args[4]) or not is_array(args[5]) then
    return { op_id, "INVALID", opseq, "the sequence is whole, call and end are arrays" }
  end
  for i = 1, r and #r.ops or 0, 2 do
    if r.ops[i] == op_id then
      return { op_id, "REPLAYED", opseq, r.ops[i + 1] }
    end
  end
  if not r then
    bury(keys[1], args[2], "void", op_id, seq, opseq + 1)
  else
    remember(r, op_id, math.max(seq, r.seq))
    r.pinned = OPEN[r.phase] and r.pinned or ""
    write(opseq + 1, keys[1], r, {})
    if not OPEN[r.phase] then
      redis.call("PEXPIRE", keys[1], CLOSED_MS) -- MSET took it away
    end
  end
  add_event("late", args[2], seq, "\144", args[4], args[5])
  return { op_id, "APPLIED", opseq + 1, r and r.granted_s or 0 }
end

-- tandem_describe_1(keys = [reservation], args = [id of the question, rid]); reads only, also unarmed.
-- OK opseq, phase, pinned call, seconds granted, answered ms, seq, node, lease ms (0: none), funds, held,
-- server id (0: none) | UNKNOWN.
local function describe(keys, args)
  local got = redis.call("MGET", KEY.opseq, keys[1])
  local opseq = tonumber(got[1]) or 0
  if not got[2] then
    return { args[1], "UNKNOWN", opseq }
  end
  local r = read_reservation(got[2])
  local lease = tonumber(redis.call("ZSCORE", KEY.leases, args[2])) or 0
  local head = { args[1], "OK", opseq, r.phase, r.pinned, r.granted_s, r.answered_ms, r.seq, r.node, lease }
  return with(head, { r.funds, r.held, r.server })
end

-- tandem_expired_1(keys = [], args = [id of the question, limit]); reads only, also unarmed.
-- OK opseq, rid, seq, rid, seq ... of leases past by Redis' clock, oldest first; seq -1: a lease without reservation.
local function expired(_, args)
  local limit = math.min(tonumber(args[2]), EXPIRED_MAX)
  local rids = redis.call("ZRANGEBYSCORE", KEY.leases, "-inf", digits_of(now_ms()), "LIMIT", 0, limit)
  local names, found = { KEY.opseq }, {}
  for i, rid in ipairs(rids) do
    names[1 + i] = RESERVATION .. rid
  end
  local got = redis.call("MGET", unpack(names))
  for i, rid in ipairs(rids) do
    found[2 * i - 1] = rid
    found[2 * i] = got[1 + i] and read_reservation(got[1 + i]).seq or -1
  end
  return with({ args[1], "OK", tonumber(got[1]) or 0 }, found)
end

-- tandem_status_1(keys = [], args = [id of the question]); reads only. OK opseq, epoch of the key (0: none), armed 0/1.
local function status(_, args)
  local got = redis.call("MGET", KEY.epoch, KEY.opseq)
  return { args[1], "OK", tonumber(got[2]) or 0, tonumber(got[1]) or 0, is_armed(got[1]) and 1 or 0 }
end

-- tandem_arm_1(keys = [], args = [id of the operation, epoch])
-- Opens the functions for this epoch. Writes EPOCH first: the workers' user may not, and fails here.
-- OK opseq | INVALID: the epoch goes back.
local function arm(_, args)
  local epoch = tonumber(args[2])
  local got = redis.call("MGET", KEY.epoch, KEY.opseq)
  local opseq = tonumber(got[2]) or 0
  if not is_amount(epoch) or epoch < 1 or epoch < (tonumber(got[1]) or 0) then
    return { args[1], "INVALID", opseq, "epoch after " .. tostring(got[1]) }
  end
  redis.call("SET", KEY.epoch, digits_of(epoch))
  armed_epoch = epoch
  return { args[1], "OK", opseq }
end

-- tandem_restore_fund_1(keys = [], args = [id of the operation, fund, charged, last event number])
-- Sets the sums of a fund from Postgres, only while unarmed; its hold and channels stay those of the reservations here.
-- Deletes EPOCH first, which makes sure of "unarmed" and which the workers' user may not. OK opseq | INVALID.
local function restore_fund(_, args)
  local charged, events = tonumber(args[3]), tonumber(args[4])
  local got = redis.call("MGET", KEY.epoch, KEY.opseq, STATE .. args[2])
  local opseq = tonumber(got[2]) or 0
  if is_armed(got[1]) or not is_amount(charged) or not is_amount(events) then
    return { args[1], "INVALID", opseq, "only while unarmed, with whole sums" }
  end
  redis.call("DEL", KEY.epoch)
  local state = read_state(got[3])
  state.charged, state.events = charged, events
  redis.call("MSET", KEY.opseq, digits_of(opseq), STATE .. args[2], pack_state(state))
  return { args[1], "OK", opseq }
end

-- allow-oom: settling works at full memory; reserve refuses by itself, with a reason.
local function register(name, callback, flag)
  redis.register_function({ function_name = "tandem_" .. name .. "_1", callback = callback, flags = { flag } })
end

register("reserve", reserve, "allow-oom")
register("answer", answer, "allow-oom")
register("extend", extend, "allow-oom")
register("settle", settle, "allow-oom")
register("release", release, "allow-oom")
register("note", note, "allow-oom")
register("late", late, "allow-oom")
register("describe", describe, "no-writes")
register("expired", expired, "no-writes")
register("status", status, "no-writes")
register("arm", arm, "allow-oom")
register("restore_fund", restore_fund, "allow-oom")
