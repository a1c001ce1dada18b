"""One call of a client from hold to end: what it tells Redis next, and what it makes of the answer.

As an agent does: one operation of a call is on its way at a time and is repeated with its id until it is answered; a
call that Redis does not know is cut; an end that Redis did not settle is told as a late one.
"""

from __future__ import annotations

import time
from random import Random
from typing import Final

from kemi import codec
from kemi.adapters.redis_operations import (
    Adopt,
    Answer,
    Applied,
    Extend,
    Late,
    Note,
    Operation,
    Part,
    Rehold,
    Release,
    Replayed,
    Result,
    Settle,
    Unarmed,
    Unknown,
    reserve_id,
)
from kemi.core.rating import charges, raised, schedule
from kemi.records import PinnedCall
from tools.prove.journal import Intent, kind_of, now_ms
from tools.prove.world import Shape, ended

SCRIPTS: Final = (
    (50, ("answer", "settle")),
    (10, ("answer", "extend", "settle")),
    (6, ("answer", "extend", "part", "extend", "part", "settle")),
    (4, ("answer", "part", "settle")),
    (15, ("release",)),
    (5, ("note",)),
    (3, ("late reserve",)),
    (1, ("forget",)),
    (1, ("answer", "forget")),
    (1, ("answer", "part", "forget")),
)
CLOSING: Final = (Settle, Release, Note, Late)
STRAY: Final = 0.02
STRAY_SEQ: Final = 3  # above what the call used, as a node that fell behind would


class Live:
    """A call that goes on. script: what comes next. parted_s: seconds that its parts have paid."""

    def __init__(
        self,
        rid: str,
        shape: Shape,
        call: PinnedCall,
        script: list[str],
        granted_s: int = 0,
        seq: int = 0,
        parted_s: int = 0,
    ) -> None:
        self.rid = rid
        self.shape = shape
        self.call = call
        self.script = script
        self.granted_s = granted_s
        self.seq = seq
        self.parted_s = parted_s
        self.billed_s = 0
        self.is_answered = script[0] == "adopt"
        self.is_over = False
        self.awaits_dead_reserve = script[0] == "late reserve"
        self.pending: Operation | None = None

    def hurry(self) -> None:
        """Come to an end without further talk."""
        self.script = [step for step in self.script if step not in {"extend", "part"}]

    def next_op(self) -> tuple[str, str, int]:
        """Return id, reservation and sequence of the next operation."""
        self.seq += 1
        return f"{self.rid}:{self.seq}", self.rid, self.seq


class Steps:
    """Makes the operations of calls. lease_s: of every hold. server_id: of the carrier that answers."""

    def __init__(self, rng: Random, lease_s: int, server_id: int) -> None:
        self._rng = rng
        self._lease_s = lease_s
        self._server_id = server_id

    def script(self) -> list[str]:
        """Return how a new call will go."""
        weights, scripts = zip(*SCRIPTS, strict=True)
        return list(self._rng.choices(scripts, weights)[0])

    def due(self, live: Live) -> Operation | None:
        """Return what a call tells next, the same until it is answered; None: it was forgotten."""
        if live.pending is None:
            if live.script[0] == "forget":
                live.is_over = True
                return None
            live.pending = self._made(live, live.script.pop(0))
        return live.pending

    def note(self, live: Live) -> Operation:
        """Return what is told of a call for which nothing is held."""
        end = ended("refused", 0, _unix_ms())
        return Note(f"{live.rid}:note", live.rid, codec.pack(live.call), codec.pack(end))

    def release(self, live: Live, outcome: str) -> Operation:
        """Return what gives a call's hold back."""
        return Release(*live.next_op(), codec.pack(ended(outcome, live.billed_s, _unix_ms(), self._server_id)))

    def told(self, live: Live, epoch: int) -> Rehold:
        """Return a call as Redis has answered it last, for a Redis that lost it."""
        unheard = live.pending is not None and getattr(live.pending, "seq", 0) == live.seq
        nothing = (0,) * len(live.shape.funds)
        return Rehold(
            op_id=reserve_id(live.rid),
            rid=live.rid,
            seq=live.seq - unheard,
            epoch=epoch,
            lease_s=self._lease_s,
            pinned=codec.pack(live.call),
            funds=live.shape.funds,
            sides=live.shape.sides_answered
            if live.is_answered
            else tuple(fund.sides for fund in live.shape.hold.funds),
            granted_s=live.granted_s,
            held=charges(live.shape.legs, live.granted_s, live.call.started_ms),
            posted=live.shape.prices(live.parted_s) if live.parted_s else nothing,
            billed_s=live.parted_s,
            talked_ms=0 if live.is_answered else None,
            server_id=self._server_id if live.is_answered else 0,
            node_answered_ms=live.call.started_ms if live.is_answered else 0,
            place=0 if live.is_answered else -1,
            joins=live.shape.joins if live.is_answered else (),
        )

    def stray(self, live: Live) -> Operation:
        """Return what a node would say of a call that is over."""
        head = (f"{live.rid}:{live.seq + STRAY_SEQ}", live.rid, live.seq + STRAY_SEQ)
        if self._rng.random() < 0.5:  # noqa: PLR2004  half
            return Answer(*head, self._lease_s, self._server_id, _unix_ms())
        end = ended("cancelled", 0, _unix_ms())
        return Release(*head, codec.pack(end))

    def speaks_of_the_dead(self) -> bool:
        """Return whether a call that has just ended is spoken of once more."""
        return self._rng.random() < STRAY

    def heard(self, live: Live, operation: Operation, result: Result) -> None:
        """Take the answer to what was due."""
        if isinstance(result, Unarmed):
            return
        live.pending = None
        if isinstance(result, Applied | Replayed):
            self._taken(live, operation, result.granted_s)
        elif isinstance(operation, CLOSING):
            self._unsettled(live, operation, is_unknown=isinstance(result, Unknown))
        elif isinstance(operation, Adopt):
            live.is_over = True
        elif isinstance(result, Unknown):
            live.script = []
            live.billed_s = max(live.parted_s, min(1, live.granted_s))
            live.pending = self.release(live, "answered")
        if live.pending is None and not live.script:
            live.is_over = True

    def _taken(self, live: Live, operation: Operation, granted_s: int) -> None:
        match operation:
            case Extend():
                live.granted_s = max(live.granted_s, granted_s)
            case Answer():
                live.is_answered = True
            case Part(billed_s=billed_s):
                live.parted_s = billed_s
            case Settle() | Release() | Note() | Late():
                live.script = []

    def _unsettled(self, live: Live, closing: Operation, *, is_unknown: bool) -> None:
        live.script = []
        if isinstance(closing, Note | Late):
            return
        if isinstance(closing, Release) and not live.is_answered and not live.granted_s:
            live.pending = self.note(live) if is_unknown else None
            return
        outcome = "answered" if live.billed_s else "cancelled"
        end = ended(outcome, live.billed_s, _unix_ms(), self._server_id)
        live.pending = Late(*live.next_op(), codec.pack(live.call), codec.pack(end))

    def _made(self, live: Live, step: str) -> Operation:
        now = _unix_ms()
        match step:
            case "answer":
                mark = Answer(*live.next_op(), self._lease_s, self._server_id, now, b"legs of the call")
                return mark._replace(place=0, joins=live.shape.joins, leaves=live.shape.leaves)
            case "adopt":
                return Adopt(*live.next_op(), self._lease_s)
            case "extend":
                started_ms = live.call.started_ms
                rows = schedule(live.shape.legs, live.granted_s, live.granted_s + live.shape.slice_s, started_ms)
                held = charges(live.shape.legs, live.granted_s, started_ms)
                return Extend(*live.next_op(), raised(rows, held), self._lease_s)
            case "part" if live.parted_s < live.granted_s:
                billed_s = self._rng.randint(live.parted_s + 1, live.granted_s)
                end = ended("talking", billed_s, now, self._server_id)
                return Part(*live.next_op(), billed_s, live.shape.prices(billed_s), codec.pack(end))
            case "part" | "settle":
                return self._settle(live)
        return (
            self.note(live)
            if step == "note"
            else self.release(live, "refused" if live.awaits_dead_reserve else "cancelled")
        )

    def _settle(self, live: Live) -> Operation:
        live.script = []
        live.billed_s = self._rng.randint(max(live.parted_s, 1), max(live.granted_s, live.parted_s, 1))
        end = ended("answered", live.billed_s, _unix_ms(), self._server_id)
        return Settle(*live.next_op(), live.billed_s, live.shape.prices(live.billed_s), codec.pack(end))


def intent(live: Live | None, operation: Operation) -> Intent:
    """Return what goes into the journal before an operation is sent. live: None where it is sent once more."""
    head = (now_ms(), operation.rid, operation.op_id, kind_of(operation), getattr(operation, "seq", 0))
    if live is None or not isinstance(operation, Part | Settle | Late):
        return Intent(*head)
    billed_s = live.billed_s if isinstance(operation, Late) else operation.billed_s
    return Intent(*head, live.shape.funds, billed_s, live.shape.prices(billed_s))


def _unix_ms() -> int:
    return int(time.time() * 1000)
