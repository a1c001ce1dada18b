-- Who watches: describe, expired, of_node, status.

-- tandem_describe_1(keys = [reservation], args = [id of the question, rid, form]); reads only, also unarmed.
-- OK opseq, phase, pinned call, seconds granted, answered ms, seq, node, lease ms (0: none), funds, held,
-- server id (0: none); where form 2 is asked, which the first release did not: what parts have charged per fund, their
-- billed seconds, answered ms by the node's clock, legs, sides; in form 3: epoch of the rebuild that it was adopted
-- for (0: none); and in form 4: place of the target that answered (-1: none, or not known), funds that count the call
-- since then | UNKNOWN.
local function describe(keys, args)
  local got = redis.call("MGET", KEY.opseq, keys[1])
  local opseq = tonumber(got[1]) or 0
  if not got[2] then
    return { args[1], "UNKNOWN", opseq }
  end
  local r = read_reservation(got[2])
  local lease = tonumber(redis.call("ZSCORE", KEY.leases, args[2])) or 0
  local form = tonumber(args[3]) or 1
  local head = { args[1], "OK", opseq, r.phase, r.pinned, r.granted_s, r.answered_ms, r.seq, r.node, lease }
  with(head, { r.funds, r.held, r.server })
  if form >= 2 then
    for i = 1, #r.funds do
      r.posted[i] = r.posted[i] or 0
    end
    with(head, { r.posted, r.billed_s, r.node_answered_ms, r.legs, r.sides })
  end
  if form >= 3 then
    head[#head + 1] = r.adopted
  end
  if form >= 4 then
    with(head, { r.place, r.joins })
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
-- OK opseq, epoch of the key (0: none), armed 0/1, epoch for which nodes are to tell their calls (0: none).
local function status(_, args)
  local got = redis.call("MGET", KEY.epoch, KEY.opseq, KEY.building)
  local armed = is_armed(got[1]) and 1 or 0
  return { args[1], "OK", tonumber(got[2]) or 0, tonumber(got[1]) or 0, armed, tonumber(got[3]) or 0 }
end
