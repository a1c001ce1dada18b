-- (c) The route of lua.cfg. Three round trips to Redis a call: password with account, hold, settle.
-- luacheck: globals KSR ksr_request_route ksr_answered ksr_failed

local next_hop -- known with the first call: a definition of the command line

local function redis(command, one, two)
    if KSR.ndb_redis.redis_cmd_p2("redis", command, one, two, "r") < 0 then return nil end
    return KSR.pv.get("$redis(r=>value)")
end

local function within()
    if KSR.rr.loose_route() < 0 then
        if KSR.is_ACK() then
            if KSR.tm.t_check_trans() > 0 then KSR.tm.t_relay() end
        else
            KSR.sl.sl_send_reply(404, "Not Here")
        end
        return
    end
    if KSR.is_BYE() then
        local call_id = KSR.kx.get_callid()
        local began = KSR.htable.sht_get("answered", call_id)
        if began then
            KSR.htable.sht_rm("answered", call_id)
            redis("FCALL settle 1 call:%s %s", call_id, tostring(KSR.pv.get("$Ts") - began))
        end
    end
    KSR.tm.t_relay()
end

-- The account of who calls, once the digest is right; nil when there was a challenge instead.
local function caller()
    local realm = KSR.kx.get_fhost()
    if KSR.auth.has_credentials(realm) > 0 then
        KSR.ndb_redis.redis_cmd_p1("redis", "HMGET line:%s ha1 account", KSR.kx.get_au() .. "@" .. realm, "r")
        local ha1 = KSR.pv.get("$redis(r=>value[0])")
        if ha1 and KSR.auth.pv_auth_check(realm, ha1, 1, 1) > 0 then
            KSR.auth.consume_credentials()
            return KSR.pv.get("$redis(r=>value[1])")
        end
    end
    KSR.auth.auth_challenge(realm, 1)
    return nil
end

local function begin()
    local account = caller()
    if not account then return end
    KSR.tm.t_newtran()
    if redis("FCALL hold 1 call:%s %s", KSR.kx.get_callid(), account) ~= "held" then
        KSR.tm.t_reply(402, "Payment Required")
        return
    end
    KSR.rr.record_route()
    next_hop = next_hop or KSR.kx.get_def("NEXT_HOP")
    KSR.setdsturi(next_hop)
    KSR.tm.t_on_reply("ksr_answered")
    KSR.tm.t_on_failure("ksr_failed")
    KSR.tm.t_relay()
end

function ksr_request_route()
    if KSR.maxfwd.process_maxfwd(10) < 0 then
        KSR.sl.sl_send_reply(483, "Too Many Hops")
    elseif KSR.is_CANCEL() then
        if KSR.tm.t_check_trans() > 0 then KSR.tm.t_relay() end
    elseif KSR.siputils.has_totag() > 0 then
        within()
    elseif KSR.tmx.t_precheck_trans() > 0 then
        KSR.tm.t_check_trans()
    elseif KSR.tm.t_check_trans() ~= 0 then
        if KSR.is_INVITE() then begin() else KSR.sl.sl_send_reply(405, "Method Not Allowed") end
    end
end

function ksr_answered()
    if KSR.kx.get_status() == 200 then
        KSR.htable.sht_seti("answered", KSR.kx.get_callid(), KSR.pv.get("$Ts"))
    end
end

function ksr_failed()
    redis("FCALL settle 1 call:%s %s", KSR.kx.get_callid(), "-1")
end
