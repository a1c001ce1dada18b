-- A call pays, ends, or is told of: part, settle, release, note, late.

-- The states of a reservation's funds, with the windows of now where there is a cap on spend. Terms that have none are
-- seen by their end: to unpack them costs more.
local function states_to_charge(r)
  local chain = chain_for(r)
  local got, states, now, count = redis.call("MGET", unpack(chain.keys)), {}, nil, #chain.funds
  for i = 1, count do
    local packed = got[1 + count + i]
    states[i] = read_state(got[1 + i])
    if packed and string.sub(packed, -#NO_CAPS) ~= NO_CAPS then
      local terms = terms_of(packed)
      if has_caps(terms) then
        now = now or now_ms()
        roll_windows(states[i], terms, now)
      end
    end
  end
  return states
end

-- Charges what `prices` say beyond what was charged before, and takes it off the hold. Returns the postings of the
-- event as msgpack, only of funds whose `charged` moves: so a fund's numbers count exactly its ledger entries.
local function charge(r, states, prices)
  local postings, count = "", 0
  for i, state in ipairs(states) do
    local amount = prices[i] - (r.posted[i] or 0)
    if amount > 0 then
      if state.charged < ALARM and state.charged + amount >= ALARM then
        redis.log(redis.LOG_WARNING, "tandem: charges of fund " .. r.funds[i] .. " have passed 2^50")
      end
      state.charged = state.charged + amount
      state.events = state.events + 1
      -- Never below zero: where a state was lost, a negative hold would be credit for ever.
      state.hold = math.max(0, state.hold - amount)
      if state.day_id then
        state.day_spent, state.month_spent = state.day_spent + amount, state.month_spent + amount
      end
      count = count + 1
      postings = postings .. "\148" .. cmsgpack.pack(r.funds[i], amount, state.events, state.charged)
    end
    r.posted[i] = prices[i]
  end
  return (count < 16 and string.char(0x90 + count) or "\220" .. string.char(0, count)) .. postings
end

-- Gives back what the call holds beyond `prices`, and its channels.
local function give_back(r, states, prices)
  for i, state in ipairs(states) do
    state.hold = math.max(0, state.hold - (r.held[i] - prices[i]))
    state.channels = math.max(0, state.channels - ONE_OF_ALL[r.sides[i]])
    state.channels_out = math.max(0, state.channels_out - ONE_OUT[r.sides[i]])
    state.channels_in = math.max(0, state.channels_in - ONE_IN[r.sides[i]])
  end
end

-- Gives the channels back that funds have since the answer. Adds their writes to `changes`.
local function part_company(r, changes)
  if #r.joins == 0 then
    return
  end
  local got, states = redis.call("MGET", unpack(append_names({}, STATE, r.joins))), {}
  for i = 1, #r.joins do
    local state = read_state(got[i])
    state.channels, state.channels_in = math.max(state.channels - 1, 0), math.max(state.channels_in - 1, 0)
    states[i] = state
  end
  write_states(changes, r.joins, states)
end

-- What is wrong with the total price of a call and with the bytes that tell of it.
local function charge_fault(r, billed_s, prices, call_end)
  local fault = (#prices ~= #r.funds and "one price per fund")
    or ((not is_amount(billed_s) or billed_s > r.granted_s) and "billed seconds are within those granted")
    or (billed_s < r.billed_s and "billed seconds are not below those that parts have charged")
    or (not is_array(call_end) and "the end is an array")
  for i, price in ipairs(prices) do
    fault = fault
      or ((not is_amount(price) or price > r.held[i]) and "a price is within what its fund holds")
      or (price < (r.posted[i] or 0) and "a price is not below what parts have charged")
  end
  return fault
end

-- tandem_part_1(keys = [reservation], args = [op id, rid, seq, billed seconds, prices per fund, CallEnd])
-- Charges a call that goes on for what it has talked, out of its hold; event "part". Lease and channels stay.
-- APPLIED or REPLAYED opseq, seconds | UNKNOWN | UNARMED | INVALID.
local function part(keys, args)
  local op_id, seq, billed_s, prices = args[1], tonumber(args[3]), tonumber(args[4]), cmsgpack.unpack(args[5])
  local r, opseq = open(keys[1], op_id, seq)
  if not r then
    return opseq
  end
  local fault = (r.phase ~= "answered" and "only an answered call pays in parts")
    or charge_fault(r, billed_s, prices, args[6])
    or (billed_s == r.billed_s and "each part has more billed seconds")
  if fault then
    return { op_id, "INVALID", opseq - 1, fault }
  end
  local states, billed_before_s = states_to_charge(r), r.billed_s
  local postings = charge(r, states, prices)
  r.billed_s = billed_s
  remember(r, op_id, seq)
  write(opseq, keys[1], r, write_states({}, r.funds, states))
  add_event("part", args[2], seq, postings, r.pinned, args[6], billed_before_s)
  return { op_id, "APPLIED", opseq, r.granted_s }
end

-- Ends a reservation: charges, gives hold, channels and lease back, and tells of it.
local function finish(kind, phase, args, key, r, opseq, prices, call_end, billed_before_s)
  local op_id, rid, seq, call = args[1], args[2], tonumber(args[3]), r.pinned
  local states = states_to_charge(r)
  local postings = charge(r, states, prices)
  give_back(r, states, prices)
  local changes = write_states({}, r.funds, states)
  part_company(r, changes)
  r.phase, r.joins, r.told = phase, {}, nil
  if not string.find(op_id, SWEEP, 1, true) then
    r.pinned, r.legs = "", "" -- a sweeper only guesses: the node that hears the real end later needs the call
  end
  remember(r, op_id, seq)
  write(opseq, key, r, changes)
  redis.call("PEXPIRE", key, CLOSED_MS)
  redis.call("ZREM", KEY.leases, rid)
  add_event(kind, rid, seq, postings, call, call_end, billed_before_s)
  return { op_id, "APPLIED", opseq, r.granted_s }
end

-- tandem_settle_1(keys = [reservation], args = [op id, rid, seq, billed seconds, prices per fund, CallEnd])
-- Ends the call: charges each fund its price, at most what it holds, for at most the seconds granted; event "settle".
-- APPLIED or REPLAYED opseq, seconds | UNKNOWN: not held here, to be posted in Postgres | UNARMED | INVALID.
local function settle(keys, args)
  local billed_s, prices = tonumber(args[4]), cmsgpack.unpack(args[5])
  local r, opseq = open(keys[1], args[1], tonumber(args[3]))
  if not r then
    return opseq
  end
  local fault, billed_before_s = charge_fault(r, billed_s, prices, args[6]), r.billed_s
  if fault then
    return { args[1], "INVALID", opseq - 1, fault }
  end
  r.billed_s = billed_s
  return finish("settle", "settled", args, keys[1], r, opseq, prices, args[6], billed_before_s)
end

-- Marks a reservation id as ended for whoever asks later; also ends a lease that stands without its reservation.
local function bury(key, rid, phase, op_id, seq, opseq)
  write(opseq, key, empty_reservation(phase, seq, op_id), {})
  redis.call("PEXPIRE", key, CLOSED_MS)
  redis.call("ZREM", KEY.leases, rid)
end

-- tandem_release_1(keys = [reservation], args = [op id, rid, seq, CallEnd])
-- Gives all back and charges nothing more; event "release". An unknown reservation leaves a tombstone, on which the
-- reserve that runs later is void.
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
  local as_before = {}
  for i = 1, #r.funds do
    as_before[i] = r.posted[i] or 0
  end
  return finish("release", "released", args, keys[1], r, opseq, as_before, args[4], 0)
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
  add_event("refused", args[2], 0, "\144", args[3], args[4], 0)
  return { op_id, "APPLIED", opseq + 1, 0 }
end

-- tandem_late_1(keys = [reservation], args = [op id, rid, seq, pinned call, CallEnd])
-- Tells how a call ended whatever became of its reservation: event "late". No money moves here: Postgres posts what is
-- missing. An open reservation stays so until its lease ends, with this sequence: it is above what was known, and low
-- enough that there is room for the operations after it.
-- APPLIED or REPLAYED opseq, seconds | UNARMED | INVALID.
local function late(keys, args)
  local op_id, seq = args[1], tonumber(args[3])
  local got = redis.call("MGET", KEY.epoch, KEY.opseq, keys[1])
  local opseq, r = tonumber(got[2]) or 0, got[3] and read_reservation(got[3])
  if not is_armed(got[1]) then
    return { op_id, "UNARMED", opseq }
  elseif not is_amount(seq) or seq >= SEQ_END or not is_array(args[4]) or not is_array(args[5]) then
    return { op_id, "INVALID", opseq, "the sequence is whole and below 2^31, call and end are arrays" }
  end
  for i = 1, r and #r.ops or 0, 2 do
    if r.ops[i] == op_id then
      return { op_id, "REPLAYED", opseq, r.ops[i + 1] }
    end
  end
  if r and seq <= r.seq then
    return { op_id, "INVALID", opseq, "sequence " .. tostring(seq) .. " after " .. digits_of(r.seq) }
  end
  if not r then
    bury(keys[1], args[2], "void", op_id, seq, opseq + 1)
  else
    remember(r, op_id, seq)
    if not OPEN[r.phase] then
      r.pinned, r.legs = "", ""
    end
    write(opseq + 1, keys[1], r, {})
    if not OPEN[r.phase] then
      redis.call("PEXPIRE", keys[1], CLOSED_MS) -- MSET took it away
    end
  end
  add_event("late", args[2], seq, "\144", args[4], args[5], 0)
  return { op_id, "APPLIED", opseq + 1, r and r.granted_s or 0 }
end
