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

-- Reservation: msgpack array, then the msgpack of the pinned call as it came (dropped at the end of the call).
local RESERVATION_VERSION = 2
local OPEN = { held = true, answered = true }

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

local function read_reservation(bytes)
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
    server = row[11] or 0, -- rows of an older release end before it
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
  if row[1] < RESERVATION_VERSION then
    for i = 1, #r.sides do
      r.sides[i] = 0 -- there stood how many channels: 1
    end
  end
  return r
end

local function pack_reservation(r)
  local adopted, place, joins = r.adopted or 0, r.place or NO_PLACE, r.joins or {}
  local is_widest = place ~= NO_PLACE or #joins > 0 or r.told ~= nil
  local is_wide = is_widest or adopted > 0
  local is_long = is_wide or r.answered_ms > 0
  return cmsgpack.pack({
    RESERVATION_VERSION,
    r.phase,
    r.seq,
    r.granted_s,
    r.answered_ms,
    r.node,
    r.funds,
    r.sides,
    r.held,
    r.ops,
    r.server,
    is_long and (r.node_answered_ms or 0) or nil, -- and the array ends before it
    is_long and (r.legs or "") or nil,
    is_long and (r.billed_s or 0) or nil,
    is_long and (r.posted or {}) or nil,
    is_wide and adopted or nil,
    is_widest and place or nil,
    is_widest and joins or nil,
    is_widest and r.told or nil,
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
    sides = {},
    held = {},
    ops = { op_id, 0 },
    server = 0,
    pinned = "",
  }
end

local function append_names(names, prefix, funds)
  for _, fund in ipairs(funds) do
    names[#names + 1] = prefix .. fund
  end
  return names
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

-- One entry of the stream: a CallEvent of kemi/records. `call` and `finish` are spliced in as they came.
local function add_event(kind, rid, seq, postings, call, finish, billed_before_s)
  local head = "\152" .. cmsgpack.pack(kind, armed_epoch, rid, seq) -- array of 8
  local tail = billed_before_s == 0 and "\0" or cmsgpack.pack(billed_before_s)
  redis.call("XADD", KEY.events, "*", "e", head .. postings .. call .. finish .. tail)
end
