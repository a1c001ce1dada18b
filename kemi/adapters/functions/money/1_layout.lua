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
--   PEXPIRE comes after it, on reservations and turns alone.
-- Rule 7: prices and held amounts are totals of the whole call; what is charged is the price less what was charged.
--
-- The files of this folder are ONE library, joined in the order of their names: what stands at the left margin of one
-- is known in those after it. This one: constants, and the bytes of funds and reservations.
--
-- The loader puts the keys of kemi/keys.py where a name stands between two @. Callers declare one key, that of the
-- reservation: all keys of a cell share a hash tag and so a slot, and a declared key costs write permission and time.
--
-- Every function answers {id of the operation, code, opseq, ...}; the caller compares the id to find a connection that
-- is one reply off. Codes: HELD REFUSED STALE VOID APPLIED REPLAYED UNKNOWN UNARMED INVALID OK.

-- What is global is not there yet when the library is loaded, and costs a look through two tables when a function runs.
-- So the first that runs takes it at hand.
local register_function = redis.register_function

local function globals()
  return cmsgpack, ipairs, math, redis, string, struct, tonumber, type, unpack
end

local cmsgpack, ipairs, math, redis, string, struct, tonumber, type, unpack

local function equip()
  if not unpack then
    cmsgpack, ipairs, math, redis, string, struct, tonumber, type, unpack = globals()
  end
end

local KEY = {
  epoch = "@EPOCH@",
  opseq = "@OPSEQ@",
  leases = "@LEASES@",
  events = "@EVENTS@",
  pass = "@PASS@",
  changed = "@CHANGED@",
  changed_low = "@CHANGED_LOW@",
  marker = "@MARKER@",
  building = "@BUILDING@",
  adopted = "@ADOPTED@",
  posted = "@POSTED@",
}
local RESERVATION = "@reservation@"
local STATE = "@fund_state@"
local TERMS = "@fund_terms@"
local TURN = "@turn@"

local AMOUNT_MAX = 2 ^ 53 - 1
local ALARM = 2 ^ 50 -- a lifetime sum that passes it is reported: years are left to act
local FUNDS_MAX = 32 -- chains of caller, called number and forwarders, lines and users with limits
local ASKS_MAX = 64 -- funds whose calls are asked for
local TURNS_MAX = 8 -- groups whose turn a call takes
local TURN_KEPT_MS = 604800000 -- a week: how long a turn is remembered that nobody takes
local NO_PLACE = -1 -- of the target that answered: nobody has, or nobody told
local ROWS_MAX = 16
local CHANGED_MAX = 512 -- a worker that missed more names drops all: cheaper than the list
local LISTED_MAX = 1000
local LEGS_MAX = 4096
local SEQ_END = 2 ^ 31 -- of late ends, so that there is always room for the operations after one
local OPS_KEPT = 4 -- answers kept for repetitions, besides that of the reserve; an agent has one batch on its way
local CLOSED_MS = 3600000 -- how long an ended reservation answers repetitions, and a tombstone stands
local SWEEP = ":sweep:" -- in the operation ids of sweepers, and of nobody else
local NOT_ANSWERED = -1
local MEMORY_SHARE_MAX = 0.8 -- of maxmemory; the rest is for settling what is open

-- Terms: msgpack array, written by the sync. Those of an older release end after the calls per second.
local CRED, CREDIT_LIMIT, STATUS, CHANNELS_MAX, CPS_MAX = 2, 3, 4, 5, 6
local CHANNELS_IN_MAX, CHANNELS_OUT_MAX, DAY_MAX, MONTH_MAX, DAYS, MONTHS, OPENING = 7, 8, 9, 10, 11, 12, 13
local UNLIMITED, ACTIVE = -1, 0
local NO_CAPS = "\0\0\144\144\192" -- how terms end that have all fields and no cap on spend

-- Funds of lines and users count calls and have no money: their names end where others have a currency. Such a fund
-- without terms has no limit: they come and go with its limits.
local COLON = 58
local NO_LIMIT = { 0, 0, UNLIMITED, ACTIVE, 0, 0 }

-- State: layout version, then charged, hold, channels, last event number, the calls granted in a second of Redis, and
-- the channels of each side, which the first layout has not. Once there was a cap on spend, windows follow: id and
-- charges of a day and of a month, and the version of the opening that they began with. What comes after is kept as it
-- is.
local STATE_FORMAT = "<Bdddddddd"
local STATE_VERSION = 2
local STATE_SIZE = 65
local FIRST_LAYOUT_SIZE, NO_SIDES = 49, "\0\0\0\0\0\0\0\0\0\0\0\0\0\0\0\0"
local WINDOWS_FORMAT, WINDOWS_SIZE = "<ddddd", 40

-- Sides of a call: 1 out, 2 in, 3 both. Each counts once in its own channels and once in all. 0 stands in reservations
-- of an older release, which took a channel of no side; 4 where a line or user was called and somebody else answered:
-- it takes none any more.
local ONE_OUT = { [0] = 0, 1, 0, 1, 0 }
local ONE_IN = { [0] = 0, 0, 1, 1, 0 }
local ONE_OF_ALL = { [0] = 1, 1, 1, 1, 0 }
local LEFT = 4

-- Reservation: numbers and lengths of texts; per fund what it holds, what parts have charged (not while none has), its
-- sides; then the texts: node, chain (msgpack of the funds' names), answers kept, legs, what few have (msgpack
-- of joins and told), and to the end the pinned call as it came (dropped at the end of the call).
-- Those of older releases, 1 and 2, are msgpack arrays with the pinned call behind.
local RESERVATION_VERSION, ARRAY_SINCE_SIDES = 3, 2
local RESERVATION_FORMAT, RESERVATION_SIZE = "<BBBBddddddddHHHHH", 78
local OP_FORMAT = "<Hc0d"
local PHASES = { "held", "answered", "settled", "released", "void", "refused" }
local PHASE_OF = { held = 1, answered = 2, settled = 3, released = 4, void = 5, refused = 6 }
local OPEN = { held = true, answered = true }

-- How many texts are kept decoded, of one kind; twice as many may be for a while.
local KEPT_MAX = 500

-- Gone with the process, with a reload of the library and on a promoted replica: that is what disarms.
local armed_epoch

-- "%.14g", Lua's own way to write a number, loses digits.
local function digits_of(number)
  return string.format("%.0f", number)
end

local function is_amount(value)
  return type(value) == "number" and value >= 0 and value <= AMOUNT_MAX and value % 1 == 0
end

local function counts_only(fund)
  return string.byte(fund, -1) == COLON
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

-- Of eight fields, and `rest` where more follows: a table of more fields costs twice as much.
local function read_state(bytes)
  if not bytes then
    return {
      charged = 0,
      hold = 0,
      channels = 0,
      events = 0,
      second = 0,
      calls = 0,
      channels_out = 0,
      channels_in = 0,
    }
  elseif string.byte(bytes) == 1 then
    bytes = string.sub(bytes, 1, FIRST_LAYOUT_SIZE) .. NO_SIDES
  end
  local _, charged, hold, channels, events, second, calls, out, into = struct.unpack(STATE_FORMAT, bytes)
  local state = {
    charged = charged,
    hold = hold,
    channels = channels,
    events = events,
    second = second,
    calls = calls,
    channels_out = out,
    channels_in = into,
  }
  if #bytes > STATE_SIZE then
    state.rest = string.sub(bytes, STATE_SIZE + 1)
  end
  return state
end

local function has_windows(state)
  return state.rest ~= nil and #state.rest >= WINDOWS_SIZE
end

-- The windows as they are stored; all 0 where nobody has counted yet.
local function read_windows(state)
  local day_id, day_spent, month_id, month_spent, opening, rest = 0, 0, 0, 0, 0, state.rest or ""
  if has_windows(state) then
    day_id, day_spent, month_id, month_spent, opening = struct.unpack(WINDOWS_FORMAT, rest)
    rest = string.sub(rest, WINDOWS_SIZE + 1)
  end
  state.day_id, state.day_spent, state.month_id, state.month_spent = day_id, day_spent, month_id, month_spent
  state.opening, state.rest = opening, rest
end

local function pack_state(state)
  local packed = struct.pack(
    STATE_FORMAT,
    STATE_VERSION,
    state.charged,
    state.hold,
    state.channels,
    state.events,
    state.second,
    state.calls,
    state.channels_out,
    state.channels_in
  )
  if state.day_id then
    packed = packed
      .. struct.pack(WINDOWS_FORMAT, state.day_id, state.day_spent, state.month_id, state.month_spent, state.opening)
  end
  return state.rest and packed .. state.rest or packed
end

local function append_names(names, prefix, funds)
  local at = #names
  for i = 1, #funds do
    names[at + i] = prefix .. funds[i]
  end
  return names
end

-- What `make` makes of a text, made once while the text comes often. Nobody may change what comes out.
local function kept(make)
  local young, old, count = {}, {}, 0
  return function(text)
    local found = young[text]
    if not found then
      found = old[text] or make(text)
      if count >= KEPT_MAX then
        young, old, count = {}, young, 0
      end
      young[text], count = found, count + 1
    end
    return found
  end
end

local function unpacked(text)
  return (cmsgpack.unpack(text))
end

-- The funds of a hold with the keys of what Redis has of them: all states, then all terms, after OPSEQ. has_counters:
-- there are lines or users among them.
local chain_of = kept(function(text)
  local funds, has_counters = unpacked(text), false
  for i = 1, #funds do
    has_counters = has_counters or counts_only(funds[i])
  end
  local keys = append_names(append_names({ KEY.opseq }, STATE, funds), TERMS, funds)
  return { text = text, funds = funds, keys = keys, has_counters = has_counters }
end)

local doubles_of = kept(function(count)
  return "<" .. string.rep("d", count)
end)

local function chain_for(r)
  return r.chain or chain_of(cmsgpack.pack(r.funds))
end

local function read_array(bytes)
  local after, row = cmsgpack.unpack_one(bytes, 0)
  local r = {
    phase = row[2],
    seq = row[3],
    granted_s = row[4],
    answered_ms = row[5],
    node = row[6],
    funds = row[7],
    sides = row[8],
    held = row[9],
    ops = row[10],
    server = row[11] or 0, -- rows of the first release end before it
    node_answered_ms = row[12] or 0, -- and those of calls that are not answered here
    legs = row[13] or "",
    billed_s = row[14] or 0,
    posted = row[15] or {},
    adopted = row[16] or 0, -- the epoch of the rebuild that its node told it to
    place = row[17] or NO_PLACE, -- of the target that answered
    joins = row[18] or {}, -- funds that count the call since then, one channel in; none of `funds` is among them
    told = row[19], -- while it is open: calls per asked fund, calls that took each turn before
    pinned = after > 0 and string.sub(bytes, after + 1) or "",
  }
  if row[1] < ARRAY_SINCE_SIDES then
    for i = 1, #r.sides do
      r.sides[i] = 0 -- there stood how many channels: 1
    end
  end
  return r
end

-- So many doubles, none where there are none.
local function read_doubles(bytes, at, count)
  if count == 0 then
    return {}
  end
  local found = { struct.unpack(doubles_of(count), bytes, at) }
  found[count + 1] = nil -- where they end
  return found
end

local function read_log(log)
  local ops, at, i = {}, 1, 1
  while at <= #log do
    ops[i], ops[i + 1], at = struct.unpack(OP_FORMAT, log, at)
    i = i + 2
  end
  return ops
end

-- Fields as in read_array; `chain` as of chain_of, `log` the bytes of `ops`.
local function read_reservation(bytes)
  if string.byte(bytes) ~= RESERVATION_VERSION then
    return read_array(bytes)
  end
  local _, phase, count, posted_count, seq, granted_s, answered_ms, server, node_answered_ms, billed_s, adopted, --
    place, node_size, chain_size, log_size, legs_size, few_size = struct.unpack(RESERVATION_FORMAT, bytes)
  local sub, held_at, joins, told = string.sub, RESERVATION_SIZE + 1, {}, nil
  local posted_at = held_at + 8 * count
  local sides_at = posted_at + 8 * posted_count
  local node_at = sides_at + count
  local chain_at = node_at + node_size
  local log_at = chain_at + chain_size
  local legs_at = log_at + log_size
  local few_at = legs_at + legs_size
  local chain, log = chain_of(sub(bytes, chain_at, log_at - 1)), sub(bytes, log_at, legs_at - 1)
  if few_size > 0 then
    joins, told = cmsgpack.unpack(sub(bytes, few_at, few_at + few_size - 1))
  end
  return {
    phase = PHASES[phase],
    seq = seq,
    granted_s = granted_s,
    answered_ms = answered_ms,
    node = sub(bytes, node_at, chain_at - 1),
    chain = chain,
    funds = chain.funds,
    sides = { string.byte(bytes, sides_at, node_at - 1) },
    held = read_doubles(bytes, held_at, count),
    ops = read_log(log),
    log = log,
    server = server,
    node_answered_ms = node_answered_ms,
    legs = sub(bytes, legs_at, few_at - 1),
    billed_s = billed_s,
    posted = read_doubles(bytes, posted_at, posted_count),
    adopted = adopted,
    place = place,
    joins = joins,
    told = told,
    pinned = sub(bytes, few_at + few_size),
  }
end

local function pack_op(op_id, granted_s)
  return struct.pack(OP_FORMAT, #op_id, op_id, granted_s)
end

local function pack_ops(ops)
  local log = ""
  for i = 1, #ops, 2 do
    log = log .. pack_op(ops[i], ops[i + 1])
  end
  return log
end

local function pack_doubles(amounts)
  return #amounts > 0 and struct.pack(doubles_of(#amounts), unpack(amounts)) or ""
end

local function pack_reservation(r)
  local joins, legs, node, log = r.joins or {}, r.legs or "", r.node, r.log or pack_ops(r.ops)
  local few = (#joins > 0 or r.told) and cmsgpack.pack(joins, r.told or nil) or ""
  local chain, sides, posted = chain_for(r).text, r.sides, r.posted or {}
  local head = struct.pack(
    RESERVATION_FORMAT,
    RESERVATION_VERSION,
    PHASE_OF[r.phase],
    #sides,
    #posted,
    r.seq,
    r.granted_s,
    r.answered_ms,
    r.server,
    r.node_answered_ms or 0,
    r.billed_s or 0,
    r.adopted or 0,
    r.place or NO_PLACE,
    #node,
    #chain,
    #log,
    #legs,
    #few
  )
  local amounts = pack_doubles(r.held) .. pack_doubles(posted)
  return head .. amounts .. string.char(unpack(sides)) .. node .. chain .. log .. legs .. few .. r.pinned
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
    sides = {},
    held = {},
    ops = { op_id, 0 },
    server = 0,
    pinned = "",
  }
end

local function with(reply, more)
  local at = #reply
  for i = 1, #more do
    reply[at + i] = more[i]
  end
  return reply
end

-- Adds the writes of funds to `changes`, the key and value pairs of the MSET that ends an operation.
local function write_states(changes, funds, states)
  local at = #changes - 1
  for i = 1, #funds do
    changes[at + 2 * i] = STATE .. funds[i]
    changes[at + 2 * i + 1] = pack_state(states[i])
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
    r.log = nil
  end
  r.seq = seq
  r.log = (r.log or pack_ops(r.ops)) .. pack_op(op_id, r.granted_s)
  r.ops[#r.ops + 1] = op_id
  r.ops[#r.ops + 1] = r.granted_s
end

-- One entry of the stream: a CallEvent of kemi/records. `call` and `finish` are spliced in as they came.
local function add_event(kind, rid, seq, postings, call, finish, billed_before_s)
  local head = "\152" .. cmsgpack.pack(kind, armed_epoch, rid, seq) -- array of 8
  local tail = billed_before_s == 0 and "\0" or cmsgpack.pack(billed_before_s)
  redis.call("XADD", KEY.events, "*", "e", head .. postings .. call .. finish .. tail)
end
