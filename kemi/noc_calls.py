"""The calls that a node follows: which, whose, for how long they are paid; and ending them.

What an account has left only Redis knows, and only the agent asks it: a first answer shows null and leaves the funds
that it would like to know under WANTED; the agent puts what they have under LEFT (kemi/agent_noc.py), for 30 s.
"""

from __future__ import annotations

import json
from collections.abc import Callable, Mapping, Sequence
from typing import Any, Final

from kemi import noc_table
from kemi.adapters import ksr_queue, ksr_ringing
from kemi.adapters.ksr_shared import BUSY, CALLS, NOC, names
from kemi.noc_command import Answer, Command, Desk, UsageError

RID_SHOWN: Final = 64  # characters of one that is none
SHOWN: Final = 200  # rows, unless more are asked for
SHOWN_MAX: Final = 5_000
ENDED_MAX: Final = 500  # calls at once: the agent's queue has other things in it too
WANTED: Final = "funds_wanted"
LEFT: Final = "funds_left"
LEFT_S: Final = 30
FUNDS_MAX: Final = 500  # asked about at once
MS: Final = 1_000
TALKING: Final = "talking"
RINGING: Final = "ringing"
FILTERS: Final = "account= server= caller= callee= source= older=SECONDS state=ringing|talking"
Row = dict[str, Any]
Test = Callable[[Row], bool]


def _calls(desk: Desk, words: Sequence[str]) -> Answer:
    limit, tests = SHOWN, []
    for word in words:
        if word.startswith("limit="):
            limit = _number(word.removeprefix("limit="), "limit", 1, SHOWN_MAX)
        else:
            tests.append(_test(word, desk))
    found = _found(desk, tests)
    found.sort(key=lambda row: (row["started_ms"], row["rid"]))
    shown = found[:limit]
    left = noc_table.value(desk.ksr, NOC, LEFT)
    known = left if isinstance(left, dict) else {}
    calls = [_told(row, known, desk.unix_ms) for row in shown]
    is_known = not _want(desk, shown, known)
    return {"count": len(found), "shown": len(shown), "is_money_known": is_known, "calls": calls}


def _end(desk: Desk, words: Sequence[str]) -> Answer:
    """End calls: what talks by the agent, what rings at once. An error where this node follows none of them."""
    if not words:
        raise UsageError("say which calls")
    if len(words) == 1 and "=" not in words[0]:
        return _end_one(desk, words[0])
    tests, every = [_test(word, desk) for word in words], _found(desk, [])
    found = [row for row in every if all(test(row) for test in tests)]
    if not found:
        return {"error": "no call here is like that"}
    ending = ringing = 0
    for row in found[:ENDED_MAX]:
        try:
            is_ended = _hang_up(desk, row, every)
        except ksr_queue.QueueFullError:
            break
        ending, ringing = ending + is_ended, ringing + (not is_ended)
    return {"ending": ending, "not_yet": len(found) - ending - ringing, "ringing": ringing}


def _end_one(desk: Desk, rid: str) -> Answer:
    call = noc_table.value(desk.ksr, CALLS, rid)
    if not isinstance(call, dict):
        return {"error": f"no call {rid[:RID_SHOWN]} here: it is over, or on another node; `calls` lists this one's"}
    if not _hang_up(desk, call, () if call["answered_ms"] else _found(desk, [])):
        return {"error": f"call {rid} cannot be ended now: it is being answered, or rings on until it has rung enough"}
    return {"ending": rid}


def _hang_up(desk: Desk, row: Row, every: Sequence[Row]) -> bool:
    """End a call; False where it rings and Kamailio does not find it, or might find another one. every: all calls.

    It looks for a Call-ID, which the caller has chosen: that of somebody else's call, perhaps. Raises QueueFullError.
    """
    if not row["answered_ms"]:
        is_alone = all(row["rid"] == other["rid"] for other in every if other["call_id"] == row["call_id"])
        return is_alone and ksr_ringing.end(desk.ksr, row["rid"], row["call_id"], desk.unix_ms)
    ksr_queue.put(desk.ksr, ksr_queue.HangUp(row["rid"]))
    return True


def _found(desk: Desk, tests: Sequence[Test]) -> list[Row]:
    """Return the calls that pass all tests. What ends while they are read is left out."""
    found = []
    for rid in names(desk.ksr, CALLS):
        row = noc_table.value(desk.ksr, CALLS, rid)
        if isinstance(row, dict):
            if not row["answered_ms"]:  # the place that it has taken at a server tells which one is tried
                row["server_id"] = int(str(desk.ksr.htable.sht_get(BUSY, rid) or 0))
            if all(test(row) for test in tests):
                found.append(row)
    return found


def _test(word: str, desk: Desk) -> Test:
    """Return what `key=value` asks of a call. Raises UsageError."""
    key, is_pair, value = word.partition("=")
    if not (is_pair and value):
        raise UsageError(f"{word[:RID_SHOWN]} is no filter")
    match key:
        case "account":
            account = _number(value, key, 1)
            return lambda row: account in row.get("chain", ()) or account in [at["account"] for at in _levels(row)]
        case "server":
            server = _number(value, key, 1)
            return lambda row: bool(row["server_id"] == server)
        case "caller" | "callee":
            digits = value.removeprefix("+")
            return lambda row: bool(row[key].removeprefix("+") == digits)
        case "source":
            return lambda row: bool(row[key] == value)
        case "older":
            before_ms = desk.unix_ms - _number(value, key, 0) * MS
            return lambda row: bool(row["started_ms"] <= before_ms)
        case "state" if value in (TALKING, RINGING):
            return lambda row: bool(row["answered_ms"]) is (value == TALKING)
    raise UsageError(f"{word[:RID_SHOWN]} is no filter")


def _number(text: str, what: str, low: int, high: int = noc_table.NUMBER_MAX) -> int:
    if not (text.isascii() and text.isdecimal() and len(text) <= len(str(high)) and low <= int(text) <= high):
        raise UsageError(f"{what}: {text[:RID_SHOWN]} is no whole number from {low} to {high}")
    return int(text)


def _levels(row: Row) -> list[Row]:
    return row.get("levels") or []  # rows of an older release have none


def _told(row: Row, left: Mapping[str, int | None], unix_ms: int) -> Row:
    """Return a call as it is shown. left_s: of the talk that is granted, of the whole of it while the call rings."""
    levels = [{**level, "left_micros": left.get(level["fund"])} for level in _levels(row)]
    known = [level["left_micros"] for level in levels if level["left_micros"] is not None]
    granted_s = row.get("granted_s")
    talked_s = (unix_ms - row["answered_ms"]) // MS if row["answered_ms"] else 0
    return {
        **{name: value for name, value in row.items() if name != "granted_s"},
        "levels": levels,
        "left_s": None if granted_s is None else max(0, granted_s - talked_s),
        "left_micros": min(known) if known else None,
    }


def _want(desk: Desk, rows: Sequence[Row], known: Mapping[str, int | None]) -> bool:
    """Leave word which funds are not known; return whether there are such."""
    funds = dict.fromkeys(level["fund"] for row in rows for level in _levels(row) if level["fund"] not in known)
    if funds:
        wanted = [*funds, *known][:FUNDS_MAX]
        desk.ksr.htable.sht_setxs(NOC, WANTED, json.dumps(wanted), LEFT_S)
    return bool(funds)


COMMANDS: Final[tuple[Command, ...]] = (
    Command("calls", f"calls [{FILTERS} limit={SHOWN}]", "The calls that go on, the oldest first.", _calls),
    Command("end", f"end <rid> | {FILTERS}", "End calls on both sides: those that talk, and those that ring.", _end),
)
