"""What the NOC has ordered, as the processes of a node hear of it, and what a traced call tells.

Rule 1: it rides on the version of the configuration, which a worker reads for each call: `<pass>` and, only while
something is ordered, ` <stamp> <flush>`. So nothing ordered costs nothing, and something one comparison of text.
Rule 2: the measures themselves are read when their stamp is another one.
Rule 3: while the agent of a node that has just started has not spoken yet, a worker asks Redis itself, call by call: no
call slips through a restart.
"""

from __future__ import annotations

import hashlib
import json
from collections.abc import Callable, Iterable
from typing import Final

from kemi.adapters.ksr_api import Ksr
from kemi.adapters.ksr_shared import CONFIGURATION, NOC
from kemi.core.authenticate import address_of_record
from kemi.core.measures import NO_MEASURES, measures
from kemi.core.outcome import Challenge, Decision, Reject, Route
from kemi.core.request import CallRequest

MEASURES: Final = "measures"
FLUSHES: Final = "flushes"
BASE_LEVEL: Final = "base log level"
NONE: Final = "-"
UNHEARD: Final = "?"
STAMP_BYTES: Final = 8


def news(ksr: Ksr, pairs: Iterable[tuple[str, str]], flushes: Iterable[tuple[int, str]]) -> str:
    """Lay out what is ordered, as (kind, value), for the workers; return what tells them of it, "" = nothing is.

    flushes: when caches were to forget lately, Unix ms, and which record, "" = all.
    """
    stamps = [
        _laid_out(ksr, where, json.dumps(sorted(rows))) for where, rows in ((MEASURES, pairs), (FLUSHES, flushes))
    ]
    return "" if stamps == [NONE, NONE] else " ".join(stamps)


def _laid_out(ksr: Ksr, where: str, text: str) -> str:
    """Leave a list for the workers, and return its stamp."""
    if text == "[]":
        return NONE
    if ksr.htable.sht_get(NOC, where) != text:
        ksr.htable.sht_sets(NOC, where, text)
    return hashlib.blake2b(text.encode(), digest_size=STAMP_BYTES).hexdigest()


def set_level(ksr: Ksr, level: int | None) -> None:
    """Let all processes of this node log as much; None: as before. Each takes it with what it does next."""
    known = ksr.htable.sht_get(NOC, BASE_LEVEL)
    if level is None and known is None:
        return
    if known is None:
        ksr.htable.sht_sets(NOC, BASE_LEVEL, str(ksr.get_debug()))
    wanted = int(str(known)) if level is None else level
    if level is None:
        ksr.htable.sht_rm(NOC, BASE_LEVEL)
    order = {"jsonrpc": "2.0", "method": "cfg.set_now_int", "params": ["core", "debug", wanted], "id": 1}
    ksr.jsonrpcs.exec(json.dumps(order))


def nothing() -> Iterable[tuple[str, str]]:
    """Say that nothing is ordered: there is no Redis to ask."""
    return ()


class Orders:
    """What one process has heard of it. read: asks Redis what is ordered, as (kind, value)."""

    def __init__(self, ksr: Ksr, read: Callable[[], Iterable[tuple[str, str]]] = nothing) -> None:
        self._ksr = ksr
        self._read = read
        self._news = ""
        self._flushed: list[list[object]] = []
        self.measures = NO_MEASURES

    def look(self, flush: Callable[..., None]) -> int:
        """Hear what is new; return the version of the configuration, 0 before the agent has spoken.

        flush: lets the caches of this process forget the records that it is given, or all.
        """
        told = self._ksr.htable.sht_get(NOC, CONFIGURATION)
        if told is None:
            self.measures, self._news = measures(self._read()), UNHEARD
            return 0
        number, _, heard = str(told).partition(" ")
        if heard != self._news:
            self._follow(heard, flush)
        return int(number)

    def _follow(self, heard: str, flush: Callable[..., None]) -> None:
        stamp, _, flushed = heard.partition(" ")
        stamp_before, _, flushed_before = self._news.partition(" ")
        if stamp != stamp_before:
            has_some = stamp not in ("", NONE)
            pairs = json.loads(str(self._ksr.htable.sht_get(NOC, MEASURES) or "[]")) if has_some else ()
            self.measures = measures((str(kind), str(value)) for kind, value in pairs)
        if flushed != flushed_before:
            self._flush(flushed, flush)
        self._news = heard

    def _flush(self, stamp: str, flush: Callable[..., None]) -> None:
        """Forget what was ordered since the last time; that an order is over is none."""
        has_some = stamp not in ("", NONE)
        rows: list[list[object]] = json.loads(str(self._ksr.htable.sht_get(NOC, FLUSHES) or "[]")) if has_some else []
        names = [str(row[1]) for row in rows if row not in self._flushed]
        self._flushed = rows
        if "" in names:
            flush()
        elif names:
            flush(*names)

    def trace(self, request: CallRequest, decision: Decision) -> None:
        """Write a traced call's decision to the log, one line."""
        if self.measures.traced == NO_MEASURES.traced or request.method != "INVITE":
            return
        call = decision.call if isinstance(decision, Route | Reject) else None
        lines = [address_of_record(request.from_uri), address_of_record(request.to_uri)]
        numbers = [request.from_uri.user.lstrip("+"), request.ruri.user.lstrip("+")]
        if call is not None:
            lines.append(call.source)
            numbers += [call.caller, call.callee, call.routing]
        if isinstance(decision, Route):
            lines += [target.address_of_record for target in decision.targets]
        matched = self.measures.traced.match(lines, numbers)
        if matched:
            self._ksr.notice(f"trace {json.dumps(_told(request, decision, matched))}\n")


def _told(request: CallRequest, decision: Decision, matched: str) -> dict[str, object]:
    """Return what the log is told of a traced call."""
    told: dict[str, object] = {
        "call_id": request.call_id,
        "traced": matched,
        "decision": type(decision).__name__.lower(),
        "source_ip": request.source_ip,
        "ruri": str(request.ruri),
    }
    if isinstance(decision, Reject):
        told |= {"status": decision.status, "reason": decision.reason, "account_id": decision.account_id}
    call = decision.call if isinstance(decision, Route | Reject) else None
    if call is not None:
        told |= {"rid": call.rid, "source": call.source, "caller": call.caller, "callee": call.callee}
    if isinstance(decision, Route):
        told["targets"] = [target.address_of_record or target.pinned.name for target in decision.targets]
    trace = decision.trace if isinstance(decision, Route | Reject | Challenge) else ()
    return {**told, "trace": trace}
