"""Bugs in how a call goes on, pays, ends and is told of: answers, adoptions, parts, windows, events."""

from __future__ import annotations

from collections.abc import Mapping
from typing import Final

from tests.simulation.planted.forms import Change

CHARGES: Final[Mapping[str, tuple[Change, ...]]] = {
    "hold is not given back at the end": (Change("math.max(0, state.hold - (r.held[i] - prices[i]))", "state.hold"),),
    "who has joined never parts": (Change("  part_company(r, changes)\n", "\n"),),
    "a channel leaks at the end": (Change("math.max(0, state.channels - ONE_OF_ALL[r.sides[i]])", "state.channels"),),
    "a charge is not in the sum": (Change("state.charged = state.charged + amount\n", "\n"),),
    "a charge is rounded to 14 digits": (
        Change(
            "state.charged = state.charged + amount\n",
            'state.charged = tonumber(string.format("%.14g", state.charged + amount))\n',
        ),
    ),
    "event numbers stand still": (Change("state.events = state.events + 1", ""),),
    "an end tells of no event": (Change("add_event(kind, rid, seq, postings, call, call_end, billed_before_s)", ""),),
    "an event is told twice": (
        Change(
            "add_event(kind, rid, seq, postings, call, call_end, billed_before_s)",
            "add_event(kind, rid, seq, postings, call, call_end, billed_before_s)\n"
            "  add_event(kind, rid, seq, postings, call, call_end, billed_before_s)",
        ),
    ),
    "an event names another amount": (
        Change("cmsgpack.pack(r.funds[i], amount, state", "cmsgpack.pack(r.funds[i], r.held[i], state"),
    ),
    "a charge may exceed the hold": (Change("(not is_amount(price) or price > r.held[i])", "not is_amount(price)"),),
    "more seconds than granted may be billed": (
        Change(
            'fund")\n    or ((not is_amount(billed_s) or billed_s > r.granted_s)',
            'fund")\n    or (not is_amount(billed_s)',
        ),
    ),
    "a reserve after the end gets its old grant": (
        Change(
            "if OPEN[r.phase] and r.ops[1] == op_id then\n    return { op_id",
            "if r.ops[1] == op_id then\n    return { op_id",
        ),
    ),
    "an ended reservation is settled again": (
        Change(
            'if not OPEN[r.phase] then\n    return nil, { op_id, "UNKNOWN"',
            'if false then\n    return nil, { op_id, "UNKNOWN"',
        ),
    ),
    "the answer does not move the lease": (Change("set_lease(args[2], now + lease_ms)\n", "\n"),),
    "an extension takes the whole lease for a part of the talk": (
        Change(" - (rows[#rows - #states] - r.granted_s) * 1000)", ")"),
    ),
    "what is charged counts as free": (
        Change("terms[CRED] - state.charged - state.hold + terms", "terms[CRED] - state.hold + terms"),
    ),
    "a suspended account calls": (Change("if not t or t[STATUS] ~= ACTIVE then", "if not t then"),),
    "a suspended account is extended": (Change("if not terms or terms[STATUS] ~= ACTIVE then", "if not terms then"),),
    "the mark of the answer is lost": (
        Change('r.phase, r.node, r.server = "answered"', 'r.phase, r.node, r.server = "held"'),
    ),
    "sums are restored while armed": (
        Change("if is_armed(got[1]) or not is_amount(charged)", "if not is_amount(charged)"),
    ),
    "a late end takes the sequence back": (Change("if r and seq <= r.seq then", "if false then"),),
    "a late end leaves no room for a sequence": (Change("or seq >= SEQ_END or", "or"),),
    "spend of before the cap is free": (
        Change("if opening and opening[1] > state.opening then", "if opening and opening[1] < 0 then"),
    ),
    "an opening begins the windows again and again": (
        Change("if opening and opening[1] > state.opening then", "if opening then"),
    ),
    "a late end is told each time": (
        Change(
            'if r.ops[i] == op_id then\n      return { op_id, "REPLAYED", opseq, r.ops[i + 1] }',
            'if false then\n      return { op_id, "REPLAYED", opseq, r.ops[i + 1] }',
        ),
    ),
    "a sweep throws the call away": (Change("if not string.find(op_id, SWEEP, 1, true) then", "if true then"),),
    "a part charges what was charged before": (
        Change("local amount = prices[i] - (r.posted[i] or 0)", "local amount = prices[i]"),
    ),
    "a charge stays in the hold": (
        Change("state.hold = math.max(0, state.hold - amount)", "state.hold = math.max(0, state.hold)"),
    ),
    "a part forgets what it has charged": (Change("r.posted[i] = prices[i]\n", "\n"),),
    "a part forgets how long the talk was": (
        Change("  r.billed_s = billed_s\n  remember(r, op_id, seq)", "  remember(r, op_id, seq)"),
    ),
    "an end does not say what parts have charged": (
        Change(
            "add_event(kind, rid, seq, postings, call, call_end, billed_before_s)",
            "add_event(kind, rid, seq, postings, call, call_end, 0)",
        ),
    ),
    "a part may charge less than those before": (Change("or (price < (r.posted[i] or 0) and", "or (price < 0 and"),),
    "a part may bill less than those before": (Change("or (billed_s < r.billed_s and", "or (billed_s < 0 and"),),
    "a ringing call pays": (Change('(r.phase ~= "answered" and "only', '(r.phase ~= r.phase and "only'),),
    "a part ends the lease": (
        Change('  add_event("part"', '  redis.call("ZREM", KEY.leases, args[2])\n  add_event("part"'),
    ),
    "a release takes back what parts have charged": (
        Change("    as_before[i] = r.posted[i] or 0\n", "    as_before[i] = 0\n"),
    ),
    "a call on both sides is two channels": (
        Change(
            "state.channels = state.channels + 1\n",
            "state.channels = state.channels + ONE_OUT[sides[i]] + ONE_IN[sides[i]]\n",
        ),
    ),
    "the spend of a day has no cap": (
        Change("left = math.min(left, left_of(t[DAY_MAX], state.day_spent, state.hold))\n", "\n"),
    ),
    "the spend of a month has no cap": (
        Change("left = math.min(left, left_of(t[MONTH_MAX], state.month_spent, state.hold))\n", "\n"),
    ),
    "what is held is no spend": (
        Change("return cap > 0 and cap - spent - hold or math.huge", "return cap > 0 and cap - spent or math.huge"),
    ),
    "a new day keeps what the last one spent": (
        Change("state.day_id, state.day_spent = day, 0", "state.day_id = day"),
    ),
    "a window rolls back": (Change("if state.day_id < day then", "if state.day_id ~= day then"),),
    "a month never ends": (Change("if state.month_id < month then", "if state.month_id == 0 then"),),
    "spend begins anew where no window is known": (
        Change(
            "id = window[1]\n    if window[2] > now then\n      break\n    end\n  end\n  return id",
            "if window[2] > now then\n      return window[1]\n    end\n  end\n"
            "  return windows[1] and windows[#windows][1] + 1 or id",
        ),
    ),
    "a window counts only what is held": (
        Change("state.day_spent, state.month_spent = state.day_spent + amount, state.month_spent + amount", ""),
    ),
    "spend is not restored": (
        Change("state.day_id, state.day_spent, state.month_id, state.month_spent = unpack(spent)\n", "\n"),
    ),
    "the first release's channels are outbound": (Change("if row[1] < ARRAY_SINCE_SIDES then", "if false then"),),
    "the first release's funds are empty": (
        Change(
            "elseif string.byte(bytes) == 1 then\n    bytes = string.sub(bytes, 1, FIRST_LAYOUT_SIZE) .. NO_SIDES",
            "elseif string.byte(bytes) == 1 then\n    return read_state(nil)",
        ),
    ),
    "an adopted call stays with its node": (
        Change(
            "r.node = args[5]\n  remember(r, op_id, seq)\n"
            "  write(opseq, keys[1], r, {})\n  set_lease(args[2], now_ms()",
            "remember(r, op_id, seq)\n  write(opseq, keys[1], r, {})\n  set_lease(args[2], now_ms()",
        ),
    ),
    "an adoption does not move the lease": (Change("  set_lease(args[2], now_ms() + lease_ms)\n", "\n"),),
    "an adoption uses no sequence": (
        Change(
            "r.node = args[5]\n  remember(r, op_id, seq)\n"
            "  write(opseq, keys[1], r, {})\n  set_lease(args[2], now_ms()",
            "r.node = args[5]\n  remember(r, op_id, r.seq)\n"
            "  write(opseq, keys[1], r, {})\n  set_lease(args[2], now_ms()",
        ),
    ),
    "a second answer moves the time of the first": (
        Change("r.node_answered_ms > 0 and r.node_answered_ms or seen_ms", "seen_ms"),
    ),
    "an answer loses the way to its sides": (Change('r.legs = legs ~= "" and legs or r.legs', 'r.legs = ""'),),
    "an ended call still tells the way to its sides": (
        Change('r.pinned, r.legs = "", "" -- a sweeper only guesses', 'r.pinned = "" -- a sweeper only guesses'),
    ),
    "a list of a node has the calls of all nodes": (
        Change('if r and OPEN[r.phase] and (args[2] == "" or r.node == args[2]) then', "if r and OPEN[r.phase] then"),
    ),
    "a list of a node misses its calls": (
        Change(
            'if r and OPEN[r.phase] and (args[2] == "" or r.node == args[2]) then',
            'if r and r.phase == "held" and (args[2] == "" or r.node == args[2]) then',
        ),
    ),
}
