-- A call begins and goes on: reserve, answer, adopt, extend.

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

local function asked_fault(asks, turns)
  if #asks > ASKS_MAX or #turns > TURNS_MAX then
    return "at most 64 funds are asked for, and 8 turns"
  end
  for _, fund in ipairs(asks) do
    if type(fund) ~= "string" then
      return "a fund is asked for by its name"
    end
  end
  for _, group in ipairs(turns) do
    if not is_amount(group) then
      return "a turn is a group's, by its id"
    end
  end
  return nil
end

local function ask_fault(ask)
  local funds, sides, floor, known = ask[4], ask[5], { 0 }, {}
  if #funds > FUNDS_MAX or #funds ~= #sides then
    return "at most 32 funds, each with its sides"
  end
  for i, fund in ipairs(funds) do
    if known[fund] or not ONE_OUT[sides[i]] or sides[i] == 0 or sides[i] == LEFT then
      return "funds are merged, and a side is out, in or both"
    end
    known[fund] = true
    floor[i + 1] = 0
  end
  if not is_amount(ask[2]) or not is_amount(ask[3]) then
    return "lease and pass are whole"
  end
  return asked_fault(ask[7] or {}, ask[8] or {}) or rows_fault(ask[6], floor)
end

-- What a reserve asks, with its fault, and the keys that it reads: those of the funds begin after `first`, and in the
-- sixth place stands that of the reservation. Calls of one chain at one price ask in the same words.
local ask_of = kept(function(text)
  local ask = cmsgpack.unpack(text)
  local names = { KEY.epoch, KEY.opseq, KEY.pass, KEY.changed_low, KEY.marker, "" }
  append_names(append_names(names, STATE, ask[4]), TERMS, ask[4])
  ask.names, ask.first, ask.fault, ask.chain = names, #names, ask_fault(ask), chain_of(cmsgpack.pack(ask[4]))
  if not ask.fault then
    local asks = ask[7] or {}
    append_names(names, STATE, asks)
    for i, group in ipairs(ask[8] or {}) do
      names[ask.first + #asks + i] = TURN .. digits_of(group)
    end
  end
  return ask
end)

-- What a hold tells of others, as of the moment before it: calls per asked fund, and how many took each turn before.
-- In `got` the asked states and the turns, after `first`. nil where nothing is asked.
local function told_of(asks, turns, got, first)
  local counts, before = {}, {}
  for i = 1, #asks do
    counts[i] = read_state(got[first + i]).channels
  end
  for i = 1, #turns do
    before[i] = tonumber(got[first + #asks + i]) or 0
  end
  return (#asks > 0 or #turns > 0) and { counts, before } or nil
end

-- Grants row `at`: writes funds, reservation, turns and lease. Returns the seconds granted.
local function grant(key, args, ask, opseq, states, at, now, told)
  local funds, sides, rows, held, turns = ask[4], ask[5], ask[6], {}, ask[8] or {}
  local second = math.floor(now / 1000)
  for i, state in ipairs(states) do
    held[i] = rows[at + i]
    state.hold = state.hold + held[i]
    state.channels = state.channels + 1
    state.channels_out = state.channels_out + ONE_OUT[sides[i]]
    state.channels_in = state.channels_in + ONE_IN[sides[i]]
    state.calls = state.second == second and state.calls + 1 or 1
    state.second = second
  end
  local r = {
    phase = "held",
    seq = 0,
    granted_s = rows[at],
    answered_ms = 0,
    node = ask[1],
    chain = ask.chain,
    funds = funds,
    sides = sides,
    held = held,
    ops = { args[1], rows[at] },
    server = 0,
    pinned = args[5],
    told = told,
  }
  local changes = write_states({}, funds, states)
  for i, group in ipairs(turns) do
    changes[#changes + 1] = TURN .. digits_of(group)
    changes[#changes + 1] = digits_of(told[2][i] + 1)
  end
  write(opseq, key, r, changes)
  for _, group in ipairs(turns) do
    redis.call("PEXPIRE", TURN .. digits_of(group), TURN_KEPT_MS)
  end
  set_lease(args[2], now + ask[2])
  return rows[at]
end

-- The answer to a reserve whose reservation exists: what it got at first while that is open, under a code of its own
-- (two requests must not leave as calls on one hold); else VOID, for its hold is gone.
local function reserved_already(op_id, opseq, bytes, seen)
  local r = read_reservation(bytes)
  if OPEN[r.phase] and r.ops[1] == op_id then
    return { op_id, "REPLAYED", opseq, r.ops[2], seen, r.told }
  end
  return { op_id, "VOID", opseq }
end

-- tandem_reserve_1(keys = [reservation], args = [op id, rid, ask, used names, pinned call]), all but ids msgpack:
--   ask = [node, lease ms from now, seen pass, funds, sides per fund (1 out, 2 in, 3 both), rows flat,
--   funds whose calls are asked for, ids of groups whose turn is taken]; releases before ended it after the rows
-- Holds the largest row that all funds can pay, on all funds or on none, with channels, turns and lease.
-- HELD opseq, seconds, pass, [calls per asked fund, calls that took each turn before] where there are such, changed
-- names ... | REPLAYED opseq, seconds, pass, the same where there are such: held before, by this id
-- | REFUSED opseq, reason, position of the fund (0: none), pass, changed names ...
-- | STALE opseq, pass, changed names ... (none: drop all) | VOID | UNARMED | INVALID opseq, text.
local function reserve(keys, args)
  local op_id, ask = args[1], ask_of(args[3])
  local fault = ask.fault or (not is_array(args[5]) and "the pinned call is an array")
  local asks, turns = ask[7] or {}, ask[8] or {}
  ask.names[6] = keys[1]
  local got = redis.call("MGET", unpack(ask.names))
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
  local states, terms, spends = read_funds(ask[4], got, 6, now)
  local reason, position = barred(states, terms, ask[5], second)
  local at
  if not reason then
    local nothing = {}
    for i = 1, #states do
      nothing[i] = 0
    end
    at, position, reason = affordable(ask[6], states, terms, nothing, spends)
  end
  if reason and not at then
    return with({ op_id, "REFUSED", opseq, reason, position, pass }, changed)
  end
  local told = told_of(asks, turns, got, ask.first)
  local reply = { op_id, "HELD", opseq + 1, grant(keys[1], args, ask, opseq + 1, states, at, now, told), pass }
  reply[#reply + 1] = told
  return with(reply, changed)
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

-- The sides of a line or user of the hold once somebody has answered: it is called if that was it, and out if it calls
-- or has led the call there. Of an older release nobody knows.
local function sides_after(sides, is_named, has_left)
  if sides == 0 then
    return 0
  end
  local is_out = ONE_OUT[sides] > 0 and not has_left
  return is_named and (is_out and 3 or 2) or (is_out and 1 or LEFT)
end

local function move(sides, i, state, after)
  local before = sides[i]
  state.channels = math.max(0, state.channels + ONE_OF_ALL[after] - ONE_OF_ALL[before])
  state.channels_out = math.max(0, state.channels_out + ONE_OUT[after] - ONE_OUT[before])
  state.channels_in = math.max(0, state.channels_in + ONE_IN[after] - ONE_IN[before])
  sides[i] = after
end

local function named(funds)
  local is_named = {}
  for _, fund in ipairs(funds) do
    is_named[fund] = true
  end
  return is_named
end

-- The funds among `joins` that are none of the hold, once each; and which of all are named there.
local function newcomers(r, joins)
  local is_named, is_held, new = {}, named(r.funds), {}
  for _, fund in ipairs(joins) do
    if not is_held[fund] and not is_named[fund] then
      new[#new + 1] = fund
    end
    is_named[fund] = true
  end
  return new, is_named
end

-- Lets lines and users that have answered count the call, and those that led it there, and no others but who calls; and
-- the funds hold no more than `wanted`, which pays for the seconds granted where it was answered.
-- wanted = [place, funds that join, seconds, held per fund, funds that led it elsewhere]. Returns what to write.
local function answered_by(r, wanted)
  local place, joins, held = wanted[1], wanted[2], wanted[4]
  local is_lowered = #held > 0 and #held == #r.funds and wanted[3] == r.granted_s
  r.place = place
  if #joins == 0 and not is_lowered and not (place ~= NO_PLACE and chain_for(r).has_counters) then
    return {}
  end
  local new, is_named = newcomers(r, joins)
  local has_left = named(wanted[5] or {})
  local funds = append_names(append_names({}, "", r.funds), "", new)
  local got, states = redis.call("MGET", unpack(append_names({ KEY.opseq }, STATE, funds))), {}
  for i = 1, #funds do
    states[i] = read_state(got[1 + i])
  end
  for i, fund in ipairs(r.funds) do
    local less = is_lowered and math.max(0, r.held[i] - math.max(held[i], r.posted[i] or 0)) or 0
    states[i].hold = math.max(0, states[i].hold - less)
    r.held[i] = r.held[i] - less
    if counts_only(fund) and (is_named[fund] or place ~= NO_PLACE) then
      move(r.sides, i, states[i], sides_after(r.sides[i], is_named[fund], has_left[fund]))
    end
  end
  for i = #r.funds + 1, #funds do
    states[i].channels, states[i].channels_in = states[i].channels + 1, states[i].channels_in + 1
  end
  r.joins = new
  return write_states({}, funds, states)
end

local function answerer_fault(wanted)
  if not is_amount(wanted[1]) and wanted[1] ~= NO_PLACE then
    return "the place is whole, or not known"
  elseif #wanted[2] > FUNDS_MAX or #(wanted[5] or {}) > FUNDS_MAX then
    return "at most 32 funds join, and leave"
  end
  for _, funds in ipairs({ wanted[2], wanted[5] or {} }) do
    for _, fund in ipairs(funds) do
      if type(fund) ~= "string" or not counts_only(fund) then
        return "only funds of lines and users join, and leave"
      end
    end
  end
  for _, amount in ipairs(wanted[4]) do
    if not is_amount(amount) then
      return "what is held is whole"
    end
  end
  return nil
end

local who_of = kept(unpacked)

-- tandem_answer_1(keys = [reservation],
--   args = [op id, rid, seq, lease ms from now, node, server id, answered ms by the node's clock, legs, who])
--   who, msgpack = [place of the target that answered (-1: not known), funds that count the call from now on, seconds,
--   what the funds have to hold for these, funds that led the call elsewhere and count it no more]
-- Marks the call as answered, by which server, and moves its lease; the first times stay, and so do legs where none
-- come, and who it was. The last arguments are missing in calls of older releases.
-- APPLIED or REPLAYED opseq, seconds | UNKNOWN | UNARMED | INVALID.
local function answer(keys, args)
  local op_id, seq, lease_ms, server = args[1], tonumber(args[3]), tonumber(args[4]), tonumber(args[6])
  local seen_ms, legs = tonumber(args[7] or 0), args[8] or ""
  local r, opseq = open(keys[1], op_id, seq)
  if not r then
    return opseq
  elseif not is_amount(lease_ms) or not is_amount(server) then
    return { op_id, "INVALID", opseq - 1, "the lease is whole milliseconds, the server an id" }
  elseif not is_amount(seen_ms) or #legs > LEGS_MAX then
    return { op_id, "INVALID", opseq - 1, "the answer is at whole milliseconds, its legs at most 4096 bytes" }
  end
  local wanted = args[9] and who_of(args[9]) or { NO_PLACE, {}, 0, {} }
  local fault = answerer_fault(wanted)
  if fault then
    return { op_id, "INVALID", opseq - 1, fault }
  end
  local now, changes = now_ms(), r.phase ~= "answered" and answered_by(r, wanted) or {}
  r.phase, r.node, r.server = "answered", args[5], server
  r.answered_ms = r.answered_ms > 0 and r.answered_ms or now
  r.node_answered_ms = r.node_answered_ms > 0 and r.node_answered_ms or seen_ms
  r.legs = legs ~= "" and legs or r.legs
  remember(r, op_id, seq)
  write(opseq, keys[1], r, changes)
  set_lease(args[2], now + lease_ms)
  return { op_id, "APPLIED", opseq, r.granted_s }
end

-- tandem_adopt_1(keys = [reservation], args = [op id, rid, seq, lease ms from now, node])
-- This node carries the call on; moves its lease. Of two nodes with one sequence the first gets it.
-- APPLIED or REPLAYED opseq, seconds | UNKNOWN | UNARMED | INVALID.
local function adopt(keys, args)
  local op_id, seq, lease_ms = args[1], tonumber(args[3]), tonumber(args[4])
  local r, opseq = open(keys[1], op_id, seq)
  if not r then
    return opseq
  elseif not is_amount(lease_ms) then
    return { op_id, "INVALID", opseq - 1, "the lease is whole milliseconds" }
  end
  r.node = args[5]
  remember(r, op_id, seq)
  write(opseq, keys[1], r, {})
  set_lease(args[2], now_ms() + lease_ms)
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
  local got, now = redis.call("MGET", unpack(chain_for(r).keys)), now_ms()
  local states, terms, spends = read_funds(r.funds, got, 1, now)
  local at, changes = affordable(rows, states, terms, r.held, spends), {}
  if at then
    for i, state in ipairs(states) do
      state.hold = state.hold + (rows[at + i] - r.held[i]) -- the other way round a hold near 2^53 would lose a micro
      r.held[i] = rows[at + i]
    end
    r.granted_s = rows[at]
    write_states(changes, r.funds, states)
    set_lease(args[2], now + lease_ms - (rows[#rows - #states] - r.granted_s) * 1000)
  end
  r.node = args[5]
  remember(r, op_id, seq)
  write(opseq, keys[1], r, changes)
  return { op_id, "APPLIED", opseq, r.granted_s }
end
