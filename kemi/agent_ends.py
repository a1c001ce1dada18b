"""How a call ended, and how a call that never went is told. No clock, no I/O."""

from __future__ import annotations

from typing import Final

from kemi import codec
from kemi.adapters.ksr_queue import Ended, Failed, Refused, Started
from kemi.adapters.redis_operations import Invalid, Note, Release, Result, Unknown
from kemi.agent_orders import Order, Outgoing
from kemi.agent_talk import Talk
from kemi.core.causes import Cause, cause_of
from kemi.core.refusals import REFUSALS
from kemi.records import CallEnd

ANSWERED_OK: Final = 200
NORMAL_CLEARING: Final = 16
INTERNAL: Final = 500
CANCELLED: Final = 487
ENDED_S: Final = 600
ENDED_MAX: Final = 20_000
NS: Final = 1_000_000_000


class Past:
    """The calls that have ended lately: a late word of them asks Redis nothing.

    They are remembered for ENDED_S to twice as long, of a busy node for less: 2 x ENDED_MAX of them, < 8 MB.
    """

    def __init__(self) -> None:
        self._rids: set[str] = set()
        self._before: set[str] = set()
        self._turned_ns = 0

    def __contains__(self, rid: object) -> bool:
        return rid in self._rids or rid in self._before

    def add(self, rid: str) -> None:
        """Remember one."""
        if len(self._rids) >= ENDED_MAX:
            self._turn()
        self._rids.add(rid)

    def look(self, now_ns: int) -> None:
        """Forget those of before, if it is time. now_ns: monotonic."""
        if now_ns - self._turned_ns >= ENDED_S * NS:
            self._turned_ns = now_ns
            self._turn()

    def _turn(self) -> None:
        self._before, self._rids = self._rids, set()


def answered_end(started: Started, outcome: str, ended_ms: int, talk_ms: int, billed_s: int, by: str = "") -> CallEnd:
    """Return the end, or the state so far, of an answered call."""
    return CallEnd(
        outcome,
        ended_ms,
        started.answered_ms,
        talk_ms,
        billed_s,
        ANSWERED_OK,
        "",
        NORMAL_CLEARING if outcome == "answered" else 0,
        by,
        started.server_id,
        started.attempts,
        place=started.place,
    )


def unproven_end(ended_ms: int, by: str) -> CallEnd:
    """Return the end of a call of which nobody has told an answer."""
    return CallEnd("unknown_end", ended_ms, 0, 0, 0, ANSWERED_OK, "", NORMAL_CLEARING, by)


def released(talk: Talk, end: CallEnd) -> Outgoing:
    """Return what tells of an end that costs nothing."""
    return Outgoing(Release(*talk.next_op(), codec.pack(end)), talk.pinned)


def failed_end(message: Failed) -> CallEnd:
    """Return the end of a call that nobody answered."""
    status = message.status or INTERNAL
    known = REFUSALS.get(message.reason)
    cause = Cause(message.reason, known.q850) if known else cause_of(status)
    return CallEnd(
        outcome="cancelled" if message.is_cancelled else "failed",
        ended_ms=message.ended_ms,
        answered_ms=0,
        talk_ms=0,
        billed_s=0,
        status=status,
        reason=cause.reason,
        q850=cause.q850,
        ended_by="caller" if message.is_cancelled else "noc" if message.reason == "noc" else "",
        attempts=message.attempts,
    )


def cancelled(message: Ended) -> Failed:
    """Return what a BYE before the answer is: the caller's CANCEL."""
    return Failed(message.rid, CANCELLED, True, (), message.ended_ms)


def refusal(message: Refused) -> Outgoing:
    """Note the refused call; where Redis may hold it all the same, release it first, which leads to the note."""
    if message.maybe_held:
        return Outgoing(Release(f"{message.rid}:1", message.rid, 1, message.end), message.pinned)
    return Outgoing(Note(f"{message.rid}:note", message.rid, message.pinned, message.end))


def is_refusal(closing: Release) -> bool:
    """Tell whether this releases what a refused call may hold. Raises ValueError for an end that cannot be read."""
    return codec.unpack(CallEnd, closing.end).outcome == "refused"


def refusal_released(closing: Release, pinned: bytes, result: Result) -> list[Order]:
    """Return what follows: the note where nothing was held. Where something is, another request's call has it."""
    if isinstance(result, Invalid) or not isinstance(result, Unknown):
        return []
    return [Outgoing(Note(f"{closing.rid}:note", closing.rid, pinned, closing.end))]
