-- A Redis that lost something is made right again: arm, restore_fund, recount, void, amend by settlement; rehold and
-- adopted by the nodes. All functions are registered here.

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

-- Sets what was spent in a day and a month. All 0 where nobody has ever counted: then nobody begins.
local function restore_windows(state, spent)
  if has_windows(state) or spent[1] > 0 or spent[3] > 0 then
    read_windows(state)
    state.day_id, state.day_spent, state.month_id, state.month_spent = unpack(spent)
  end
end

-- tandem_restore_fund_1(keys = [], args = [id of the operation, fund, charged, last event number,
--   day id, charged in that day, month id, charged in that month])
-- Sets the sums of a fund from Postgres, only while unarmed; its hold and channels stay those of the reservations here.
-- Deletes EPOCH first, which makes sure of "unarmed" and which the workers' user may not. OK opseq | INVALID.
local function restore_fund(_, args)
  local charged, events, spent = tonumber(args[3]), tonumber(args[4]), {}
  local got = redis.call("MGET", KEY.epoch, KEY.opseq, STATE .. args[2])
  local opseq, is_whole = tonumber(got[2]) or 0, true
  for i = 1, 4 do
    spent[i] = tonumber(args[4 + i] or 0)
    is_whole = is_whole and is_amount(spent[i])
  end
  if is_armed(got[1]) or not is_amount(charged) or not is_amount(events) or not is_whole then
    return { args[1], "INVALID", opseq, "only while unarmed, with whole sums" }
  end
  redis.call("DEL", KEY.epoch)
  local state = read_state(got[3])
  state.charged, state.events = charged, events
  restore_windows(state, spent)
  redis.call("MSET", KEY.opseq, digits_of(opseq), STATE .. args[2], pack_state(state))
  return { args[1], "OK", opseq }
end

-- tandem_recount_1(keys = [], args = [id of the operation, fund, hold, channels, channels out, channels in])
-- Sets what a fund holds to what its open reservations say, only while unarmed. Deletes EPOCH first, as above.
-- OK opseq | INVALID.
local function recount(_, args)
  local got = redis.call("MGET", KEY.epoch, KEY.opseq, STATE .. args[2])
  local opseq, counts, is_whole = tonumber(got[2]) or 0, {}, true
  for i = 1, 4 do
    counts[i] = tonumber(args[2 + i])
    is_whole = is_whole and is_amount(counts[i])
  end
  if is_armed(got[1]) or not is_whole then
    return { args[1], "INVALID", opseq, "only while unarmed, with whole sums" }
  end
  redis.call("DEL", KEY.epoch)
  local state = read_state(got[3])
  state.hold, state.channels, state.channels_out, state.channels_in = unpack(counts)
  redis.call("MSET", KEY.opseq, digits_of(opseq), STATE .. args[2], pack_state(state))
  return { args[1], "OK", opseq }
end

-- tandem_void_1(keys = [reservation], args = [id of the operation, rid])
-- Ends an open reservation without any event, only while unarmed: Postgres knows of its call what it does not. What it
-- held stays counted until the funds are recounted. Deletes EPOCH first, as above. OK opseq | INVALID.
local function void(keys, args)
  local got = redis.call("MGET", KEY.epoch, KEY.opseq, keys[1])
  local opseq, r = tonumber(got[2]) or 0, got[3] and read_reservation(got[3])
  if is_armed(got[1]) or not r or not OPEN[r.phase] then
    return { args[1], "INVALID", opseq, "only while unarmed, and only what is open" }
  end
  redis.call("DEL", KEY.epoch)
  bury(keys[1], args[2], "void", args[1], r.seq, opseq)
  return { args[1], "OK", opseq }
end

-- What is wrong with amounts, one per fund, none above `most`.
local function amounts_fault(amounts, most)
  if type(amounts) ~= "table" or #amounts ~= #most then
    return "one amount per fund"
  end
  for i, amount in ipairs(amounts) do
    if not is_amount(amount) or amount > most[i] then
      return "an amount is whole, and within what its fund holds"
    end
  end
  return nil
end

-- tandem_amend_1(keys = [reservation],
--   args = [id of the operation, rid, seq, billed seconds, posted per fund as msgpack])
-- Sets what parts of an open call have charged to what Postgres has, only while unarmed: the next charge is the rest.
-- The sequence never falls; below it an operation would pass for one that Postgres has. Deletes EPOCH first, as above.
-- OK opseq | INVALID.
local function amend(keys, args)
  local seq, billed_s, posted = tonumber(args[3]), tonumber(args[4]), cmsgpack.unpack(args[5])
  local got = redis.call("MGET", KEY.epoch, KEY.opseq, keys[1])
  local opseq, r = tonumber(got[2]) or 0, got[3] and read_reservation(got[3])
  if is_armed(got[1]) or not r or not OPEN[r.phase] then
    return { args[1], "INVALID", opseq, "only while unarmed, and only what is open" }
  end
  local fault = (not is_amount(seq) and "the sequence is whole")
    or ((not is_amount(billed_s) or billed_s > r.granted_s) and "billed seconds are within those granted")
    or amounts_fault(posted, r.held)
    or (r.phase ~= "answered" and billed_s > 0 and "only an answered call pays in parts")
  if fault then
    return { args[1], "INVALID", opseq, fault }
  end
  redis.call("DEL", KEY.epoch)
  r.seq, r.billed_s, r.posted = math.max(r.seq, seq), billed_s, posted
  write(opseq, keys[1], r, {})
  return { args[1], "OK", opseq }
end

local function told_fault(told, pinned, legs)
  local funds, sides, known = told[7], told[8], {}
  if #funds > FUNDS_MAX or #funds ~= #sides or #funds ~= #told[9] then
    return "at most 32 funds, each with its sides and what it holds"
  elseif #(told[12] or {}) > FUNDS_MAX then
    return "at most 32 funds have joined"
  end
  for i, fund in ipairs(funds) do
    if known[fund] or not ONE_OUT[sides[i]] or (sides[i] == LEFT and not counts_only(fund)) then
      return "funds are merged, and a side is out, in, both or not known"
    end
    known[fund] = true
  end
  for _, fund in ipairs(told[12] or {}) do
    if type(fund) ~= "string" or known[fund] or not counts_only(fund) then
      return "funds that have joined are of lines and users, and merged"
    end
    known[fund] = true
  end
  for i = 2, 6 do
    if not is_amount(told[i]) and not (i == 3 and told[i] == NOT_ANSWERED) then
      return "sequence, seconds, times and server are whole"
    end
  end
  if told[6] > told[2] or not is_array(pinned) or #legs > LEGS_MAX then
    return "billed seconds are within those granted, the pinned call is an array, its legs at most 4096 bytes"
  end
  return amounts_fault(told[9], told[9]) or amounts_fault(told[10], told[9])
end

-- A reservation as its node tells it. `stored`: what Redis has of it, older or as old; false: nothing.
local function reservation_told(node, seq, epoch, told, pinned, legs, stored)
  local is_answered, seen_ms = told[3] ~= NOT_ANSWERED, stored and stored.answered_ms or 0
  return {
    phase = is_answered and "answered" or "held",
    seq = seq,
    granted_s = told[2],
    answered_ms = is_answered and (seen_ms > 0 and seen_ms or math.max(1, now_ms() - told[3])) or 0,
    node = node,
    funds = told[7],
    sides = told[8],
    held = told[9],
    ops = stored and stored.ops or { told[1], told[2] },
    server = told[4],
    node_answered_ms = told[5],
    legs = legs,
    billed_s = told[6],
    posted = told[10],
    pinned = pinned,
    adopted = epoch,
    place = told[11] or (stored and stored.place),
    joins = told[12] or (stored and stored.joins),
    told = stored and stored.told or nil,
  }
end

-- tandem_rehold_1(keys = [reservation],
--   args = [op id, rid, seq, lease ms from now, node, epoch, told as msgpack, pinned call, legs]),
--   told = [op id of the reserve, granted seconds, ms since the answer (-1: none), server, answered ms by the node's
--   clock, billed seconds, funds, sides per fund, held per fund, posted per fund, place of the target that answered,
--   funds that count the call since then]; nodes of releases before ended it after posted
-- Writes an open call as its node knows it, with its lease, while settlement builds that epoch and wants it. Funds are
-- not touched: settlement counts what all reservations hold before it arms. What Redis knows later than the node stays,
-- and what it knows as ended stays ended. Every reservation so taken bears the epoch.
-- APPLIED or REPLAYED (told before, or known later) opseq, seconds | UNARMED: that epoch is not being built | INVALID.
local function rehold(keys, args)
  local op_id, rid, seq, lease_ms, node = args[1], args[2], tonumber(args[3]), tonumber(args[4]), args[5]
  local epoch, told = tonumber(args[6]), cmsgpack.unpack(args[7])
  local got = redis.call("MGET", KEY.epoch, KEY.opseq, KEY.building, keys[1])
  local opseq, stored = tonumber(got[2]) or 0, got[4] and read_reservation(got[4])
  if is_armed(got[1]) or not epoch or tonumber(got[3]) ~= epoch then
    return { op_id, "UNARMED", opseq }
  end
  local fault = ((not is_amount(seq) or not is_amount(lease_ms)) and "sequence and lease are whole")
    or told_fault(told, args[8], args[9])
    or (stored and not OPEN[stored.phase] and "the call was " .. stored.phase)
  if fault then
    return { op_id, "INVALID", opseq, fault }
  end
  local is_repeated, lease = stored and stored.adopted == epoch, now_ms() + lease_ms
  if stored and (stored.seq > seq or (stored.seq == seq and stored.node ~= node)) then
    lease, is_repeated = math.max(lease, tonumber(redis.call("ZSCORE", KEY.leases, rid)) or 0), true
    stored.adopted = epoch
  else
    stored = reservation_told(node, seq, epoch, told, args[8], args[9], stored)
  end
  write(opseq, keys[1], stored, {})
  set_lease(rid, lease)
  return { op_id, is_repeated and "REPLAYED" or "APPLIED", opseq, stored.granted_s }
end

-- tandem_adopted_1(keys = [], args = [id of the operation, node, epoch, count])
-- The node has told all its calls, so many. OK opseq | INVALID: that epoch is not being built.
local function adopted(_, args)
  local got = redis.call("MGET", KEY.epoch, KEY.opseq, KEY.building)
  local opseq, epoch, count = tonumber(got[2]) or 0, tonumber(args[3]), tonumber(args[4])
  if is_armed(got[1]) or not is_amount(count) or not epoch or tonumber(got[3]) ~= epoch then
    return { args[1], "INVALID", opseq, "epoch " .. args[3] .. " is not being built" }
  end
  redis.call("HSET", KEY.adopted, args[2], digits_of(epoch) .. " " .. digits_of(count))
  return { args[1], "OK", opseq }
end

-- tandem_posted_1(keys = [], args = [id of the operation, number])
-- Settlement has posted its transaction of this number. What is told never falls. Writes by SET, which the workers'
-- user may not. OK opseq | INVALID.
local function posted(_, args)
  local got, number = redis.call("MGET", KEY.opseq, KEY.posted), tonumber(args[2])
  local opseq = tonumber(got[1]) or 0
  if not is_amount(number) then
    return { args[1], "INVALID", opseq, "the number is whole" }
  elseif number > (tonumber(got[2]) or 0) then
    redis.call("SET", KEY.posted, digits_of(number))
  end
  return { args[1], "OK", opseq }
end

-- allow-oom: settling works at full memory; reserve refuses by itself, with a reason.
local function register(name, callback, flag)
  local function equipped(keys, args)
    equip()
    return callback(keys, args)
  end
  register_function({ function_name = "tandem_" .. name .. "_1", callback = equipped, flags = { flag } })
end

register("reserve", reserve, "allow-oom")
register("answer", answer, "allow-oom")
register("adopt", adopt, "allow-oom")
register("extend", extend, "allow-oom")
register("part", part, "allow-oom")
register("settle", settle, "allow-oom")
register("release", release, "allow-oom")
register("note", note, "allow-oom")
register("late", late, "allow-oom")
register("describe", describe, "no-writes")
register("expired", expired, "no-writes")
register("of_node", of_node, "no-writes")
register("status", status, "no-writes")
register("arm", arm, "allow-oom")
register("restore_fund", restore_fund, "allow-oom")
register("recount", recount, "allow-oom")
register("void", void, "allow-oom")
register("amend", amend, "allow-oom")
register("rehold", rehold, "allow-oom")
register("adopted", adopted, "allow-oom")
register("posted", posted, "allow-oom")
