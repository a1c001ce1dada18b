#!lua name=bench
-- (c) A hold over a chain of accounts and its end, each atomic. An account: parent, balance, held, charged, channels,
-- price of a begun minute. A call: account, price and account, price … of each level.

local function hold(keys, args)
    if redis.call("EXISTS", keys[1]) == 1 then return "again" end
    local account, levels, kept = args[1], {}, {}
    while account and account ~= "" do
        local name = "account:" .. account
        local row = redis.call("HMGET", name, "parent", "balance", "held", "channels", "most", "price")
        local price = tonumber(row[6])
        if tonumber(row[2]) - tonumber(row[3]) < price or tonumber(row[4]) >= tonumber(row[5]) then return "refused" end
        levels[#levels + 1] = {name, price}
        account = row[1]
    end
    for _, level in ipairs(levels) do
        redis.call("HINCRBY", level[1], "held", level[2])
        redis.call("HINCRBY", level[1], "channels", 1)
        kept[#kept + 1] = level[1]
        kept[#kept + 1] = level[2]
    end
    redis.call("SET", keys[1], cmsgpack.pack(kept), "EX", 86400)
    return "held"
end

local function settle(keys, args)
    local packed = redis.call("GET", keys[1])
    if not packed then return "unknown" end
    -- Begun minutes; what was held is one of them, so no call is charged more. Below 0 = it was never answered.
    local kept, seconds = cmsgpack.unpack(packed), tonumber(args[1])
    local minutes = seconds < 0 and 0 or 1
    for at = 1, #kept, 2 do
        local charge = kept[at + 1] * minutes
        redis.call("HINCRBY", kept[at], "held", -kept[at + 1])
        redis.call("HINCRBY", kept[at], "channels", -1)
        if charge > 0 then
            redis.call("HINCRBY", kept[at], "balance", -charge)
            redis.call("HINCRBY", kept[at], "charged", charge)
        end
    end
    redis.call("DEL", keys[1])
    return "settled"
end

redis.register_function("hold", hold)
redis.register_function("settle", settle)
