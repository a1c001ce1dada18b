-- Who watches: describe, expired, of_node, status. Who repairs: arm, restore_fund, recount, void. All registered here.

-- tandem_describe_1(keys = [reservation], args = [id of the question, rid, form]); reads only, also unarmed.
-- OK opseq, phase, pinned call, seconds granted, answered ms, seq, node, lease ms (0: none), funds, held,
-- server id (0: none); and where form 2 is asked, which the release before did not: what parts have charged per fund,
-- their billed seconds, answered ms by the node's clock, legs, sides | UNKNOWN.
local function describe(keys, args)
  local got = redis.call("MGET", KEY.opseq, keys[1])
  local opseq = tonumber(got[1]) or 0
  if not got[2] then
    return { args[1], "UNKNOWN", opseq }
  end
  local r = read_reservation(got[2])
  local lease = tonumber(redis.call("ZSCORE", KEY.leases, args[2])) or 0
  local head = { args[1], "OK", opseq, r.phase, r.pinned, r.granted_s, r.answered_ms, r.seq, r.node, lease }
  with(head, { r.funds, r.held, r.server })
  if args[3] == "2" then
    for i = 1, #r.funds do
      r.posted[i] = r.posted[i] or 0
    end
    with(head, { r.posted, r.billed_s, r.node_answered_ms, r.legs, r.sides })
  end
  return head
end

-- tandem_expired_1(keys = [], args = [id of the question, limit]); reads only, also unarmed.
-- OK opseq, rid, seq, rid, seq ... of leases past by Redis' clock, oldest first; seq -1: a lease without reservation.
local function expired(_, args)
  local limit = math.min(tonumber(args[2]), LISTED_MAX)
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

-- tandem_of_node_1(keys = [], args = [id of the question, node ("": any), after, limit]); reads only, also unarmed.
-- OK opseq, after, rid ... of open reservations that the node carries, out of about `limit` that are looked at. after:
-- "0" asks for the first page, and comes back with the last one. A scan: what is open all the time is never missed.
local function of_node(_, args)
  local limit = math.max(1, math.min(tonumber(args[4]), LISTED_MAX))
  local scanned = redis.call("ZSCAN", KEY.leases, args[3], "COUNT", limit)
  local names, found = { KEY.opseq }, {}
  for i = 1, #scanned[2], 2 do
    names[#names + 1] = RESERVATION .. scanned[2][i]
  end
  local got = redis.call("MGET", unpack(names))
  for i = 2, #names do
    local r = got[i] and read_reservation(got[i])
    if r and OPEN[r.phase] and (args[2] == "" or r.node == args[2]) then
      found[#found + 1] = scanned[2][2 * i - 3]
    end
  end
  return with({ args[1], "OK", tonumber(got[1]) or 0, scanned[1] }, found)
end

-- tandem_status_1(keys = [], args = [id of the question]); reads only.
-- OK opseq, epoch of the key (0: none), armed 0/1.
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

-- allow-oom: settling works at full memory; reserve refuses by itself, with a reason.
local function register(name, callback, flag)
  redis.register_function({ function_name = "tandem_" .. name .. "_1", callback = callback, flags = { flag } })
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
