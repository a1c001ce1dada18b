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

local function ask_fault(ask, pinned)
  local funds, sides, floor, known = ask[4], ask[5], { 0 }, {}
  if #funds > FUNDS_MAX or #funds ~= #sides then
    return "at most 24 funds, each with its sides"
  end
  for i, fund in ipairs(funds) do
    if known[fund] or not ONE_OUT[sides[i]] or sides[i] == 0 then
      return "funds are merged, and a side is out, in or both"
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
  local funds, sides, rows, held = ask[4], ask[5], ask[6], {}
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
    funds = funds,
    sides = sides,
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
--   ask = [node, lease ms from now, seen pass, funds, sides per fund (1 out, 2 in, 3 both), rows flat]
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

-- tandem_answer_1(keys = [reservation],
--   args = [op id, rid, seq, lease ms from now, node, server id, answered ms by the node's clock, legs])
-- Marks the call as answered, by which server, and moves its lease; the first times stay, and so do legs where none
-- come. The last two arguments are missing in calls of an older release.
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
  local now = now_ms()
  r.phase, r.node, r.server = "answered", args[5], server
  r.answered_ms = r.answered_ms > 0 and r.answered_ms or now
  r.node_answered_ms = r.node_answered_ms > 0 and r.node_answered_ms or seen_ms
  r.legs = legs ~= "" and legs or r.legs
  remember(r, op_id, seq)
  write(opseq, keys[1], r, {})
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
  local names = append_names(append_names({ KEY.opseq }, STATE, r.funds), TERMS, r.funds)
  local got, now = redis.call("MGET", unpack(names)), now_ms()
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
