"""Bugs in what a call asks for and gets: holds, limits, leases, repetitions, arming."""

from __future__ import annotations

from collections.abc import Mapping
from typing import Final

from tests.simulation.planted.forms import Change

HOLDS: Final[Mapping[str, tuple[Change, ...]]] = {
    "release of a stranger leaves no tombstone": (
        Change(
            'bury(keys[1], args[2], "void", op_id, is_amount(seq) and seq or 0, opseq[3] + 1)\n'
            '    return { op_id, "UNKNOWN", opseq[3] + 1 }',
            "return opseq",
        ),
    ),
    "a tombstone stands for a second only": (Change("local CLOSED_MS = 3600000", "local CLOSED_MS = 1000"),),
    "a fund twice in a hold is taken": (
        Change("if known[fund] or not ONE_OUT[sides[i]] or sides", "if not ONE_OUT[sides[i]] or sides"),
    ),
    "a call that is told takes the place of a newer one": (
        Change("if stored and (stored.seq > seq or (stored.seq == seq and stored.node ~= node)) then", "if false then"),
    ),
    "what has ended is held again": (
        Change('(stored and not OPEN[stored.phase] and "the call was " .. stored.phase)', "nil"),
    ),
    "a schedule is not validated": (Change('"a schedule\'s numbers are whole, below 2^53 and do not fall"', "nil"),),
    "who answers does not join": (
        Change(
            "states[i].channels, states[i].channels_in = states[i].channels + 1, states[i].channels_in + 1",
            "states[i].channels = states[i].channels",
        ),
    ),
    "who calls himself is called without a channel": (
        Change("is_named and (is_out and 3 or 2)", "is_named and (is_out and 1 or 2)"),
    ),
    "a line that did not answer is called on": (Change("or (is_out and 1 or LEFT)", "or sides"),),
    "who leads the call elsewhere goes on to count it": (
        Change("local has_left = named(wanted[5] or {})", "local has_left = {}"),
    ),
    "who leads the call there counts it no more": (
        Change("ONE_OUT[sides] > 0 and not has_left", "ONE_OUT[sides] > 1"),
    ),
    "an answer leaves less than it costs": (
        Change("math.max(0, r.held[i] - math.max(held[i], r.posted[i] or 0)) or 0", "r.held[i] or 0"),
    ),
    "what the answer gives back stays held": (Change("states[i].hold = math.max(0, states[i].hold - less)\n", "\n"),),
    "a line without limits is closed": (Change("t = t or (counts_only(funds[i]) and NO_LIMIT)", "t = t or false"),),
    "a turn does not count": (Change("digits_of(told[2][i] + 1)", "digits_of(told[2][i])"),),
    "a hold counts itself among the others": (
        Change(
            "counts[i] = read_state(got[first + i]).channels", "counts[i] = read_state(got[first + i]).channels + 1"
        ),
    ),
    "a grant takes no channel": (Change("state.channels = state.channels + 1\n", "\n"),),
    "the sequence is not checked": (Change("not is_amount(seq) or seq <= r.seq then", "not is_amount(seq) then"),),
    "a repeated operation is applied again": (
        Change(
            'if r.ops[i] == op_id then\n      return nil, { op_id, "REPLAYED"',
            'if false then\n      return nil, { op_id, "REPLAYED"',
        ),
    ),
    "a repeated reserve is granted again": (Change("elseif got[6] then", "elseif false then"),),
    "an extension does not move the lease": (
        Change("set_lease(args[2], now + lease_ms - (rows[#rows - #states] - r.granted_s) * 1000)", ""),
    ),
    "a lease outlives its reservation": (
        Change('redis.call("ZREM", KEY.leases, rid)\n  add_event(kind', "add_event(kind"),
    ),
    "the credit limit is ignored": (
        Change(
            "return terms[CRED] - state.charged - state.hold + terms[CREDIT_LIMIT]",
            "return terms[CRED] - state.charged - state.hold",
        ),
    ),
    "what is held counts as free": (
        Change("terms[CRED] - state.charged - state.hold + terms", "terms[CRED] - state.charged + terms"),
    ),
    "a micro more than there is may be spent": (Change("more > spends[i])", "more > spends[i] + 1)"),),
    "the last micro may not be spent": (Change("more > spends[i])", "more >= spends[i])"),),
    "only the first fund has to pay": (
        Change("for i = 1, #states do\n      local more", "for i = 1, math.min(1, #states) do\n      local more"),
    ),
    "sums may pass 2^53": (Change("if states[i].charged + states[i].hold + more > AMOUNT_MAX then", "if false then"),),
    "the smallest row is granted": (Change("for at = #rows - width + 1, 1, -width do", "for at = 1, 1, width do"),),
    "one channel more than allowed": (
        Change("state.channels + 1 > terms[CHANNELS_MAX]", "state.channels > terms[CHANNELS_MAX]"),
    ),
    "one call per second more than allowed": (Change("state.calls >= t[CPS_MAX]", "state.calls > t[CPS_MAX]"),),
    "an extension holds the whole price again": (
        Change(
            "      r.held[i] = rows[at + i]\n",
            "      state.hold = state.hold + r.held[i]\n      r.held[i] = rows[at + i]\n",
        ),
    ),
    "an extension forgets what it holds": (Change("r.held[i] = rows[at + i]\n", "\n"),),
    "any epoch is good enough": (
        Change("return armed_epoch ~= nil and tonumber(epoch) == armed_epoch", "return armed_epoch ~= nil"),
    ),
    "a restart does not disarm": (
        Change(
            "return armed_epoch ~= nil and tonumber(epoch) == armed_epoch",
            "armed_epoch = armed_epoch or tonumber(epoch)\n"
            "  return armed_epoch ~= nil and tonumber(epoch) == armed_epoch",
        ),
    ),
    "operations are not counted": (
        Change("digits_of(opseq), key, pack_reservation(r)", "digits_of(opseq - 1), key, pack_reservation(r)"),
    ),
    "a stale decision is taken": (
        Change("if not changed or intersects(changed, args[4]) then", "if not changed then"),
    ),
    "a change is not listed for the workers": (
        Change('redis.call("ZADD", KEY.changed, "GT", digits_of(version), string.sub(key, #RECORD_PREFIX + 1))', ""),
    ),
    "credit is added instead of set": (
        Change(
            'redis.call("SET", key, value)\n  end\n  redis.call("HSET"',
            'local old, new = redis.call("GET", key), cmsgpack.unpack(value)\n'
            "    new[2] = new[2] + (old and cmsgpack.unpack(old)[2] or 0)\n"
            '    redis.call("SET", key, cmsgpack.pack(new))\n  end\n  redis.call("HSET"',
        ),
    ),
    "full memory is not noticed": (Change("if memory_full(second) then", "if false then"),),
    "a call out is a call in": (
        Change("local ONE_OUT = { [0] = 0, 1, 0, 1, 0 }", "local ONE_OUT = { [0] = 0, 0, 1, 1, 0 }"),
    ),
    "outbound channels are not given back": (
        Change("math.max(0, state.channels_out - ONE_OUT[r.sides[i]])", "state.channels_out"),
    ),
    "inbound channels have no limit": (Change("if in_max > 0 and", "if in_max < 0 and"),),
    "outbound channels have no limit": (Change("if out_max > 0 and", "if out_max < 0 and"),),
    "one inbound channel more than allowed": (Change("state.channels_in + 1 > in_max", "state.channels_in > in_max"),),
}
