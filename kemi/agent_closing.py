"""Ends that are not over yet: a side that may still talk gets our BYE until it says that it is out. No clock, no I/O.

Rule 1: whatever ends a call in our books ends it on the wire: a side is out when it answered a BYE with 2xx or 481.
Rule 2: after a relayed BYE that is waited for a moment; what we end ourselves gets our BYE at once.
Rule 3: each of our BYEs has a higher CSeq than anything seen, so a side that did not take one may take the next. Who
refuses one gets the next at once, but only once; after a 500 above every CSeq that another node may have used.
"""

from __future__ import annotations

from collections import OrderedDict
from collections.abc import Iterable
from typing import Final, NamedTuple

from kemi import codec
from kemi.adapters.ksr_bye import Send
from kemi.adapters.ksr_queue import ByeAnswered, Ended, LateAnswer, Started
from kemi.core.sides import CALLEE, CALLER, CSEQ_LEAP, CSEQ_OURS, Side

NS: Final = 1_000_000_000
CONFIRM_NS: Final = 1 * NS  # how long a relayed BYE may take
WAITS_S: Final = (3, 6, 12, 12)  # after each of our BYEs; together timer F of RFC 3261
OTHERS_LEAP: Final = CSEQ_LEAP + 2**10  # above the questions and BYEs of a node that has adopted the call
CSEQ_END: Final = 2**31  # RFC 3261 §8.1.1.5
OK: Final = range(200, 300)
NO_SUCH_CALL: Final = 481
OUT_OF_ORDER: Final = 500  # RFC 3261 §12.2.2
LATE_MAX: Final = 10_000  # legs remembered
LATE_PER_CALL: Final = 20


class Closing(NamedTuple):
    """A side that is not out yet. bye: ours, with the CSeq to use next. tries: how many of ours it got.

    was_refused: that side has refused one.
    """

    bye: Send
    due_ns: int
    tries: int = 0
    was_refused: bool = False


def byes(rid: str, call_id: str, caller: Side, callee: Side) -> dict[str, Send]:
    """Return our BYE to each side of a call, by the side that it goes to."""
    return {
        CALLER: Send(rid, "BYE", call_id, callee.uri, callee.tag, caller, callee.cseq + 1),
        CALLEE: Send(rid, "BYE", call_id, callee.shown or caller.uri, caller.tag, callee, caller.cseq + CSEQ_OURS),
    }


def closing_byes(call_id: str, started: Started, ended: Ended) -> list[Send]:
    """Return our BYEs to the sides that may not be out: who said BYE from its own address is."""
    orders = byes(ended.rid, call_id, started.caller, started.callee)
    said = {CALLER: started.caller, CALLEE: started.callee}.get(ended.by)
    if ended.is_sure or (said and ended.ip and said.is_at(ended.ip)):
        orders.pop(ended.by, None)
    return list(orders.values())


class Closings:
    """All of them, of one node."""

    def __init__(self) -> None:
        self._open: dict[tuple[str, str], list[Closing]] = {}
        self._late: OrderedDict[str, set[str]] = OrderedDict()
        self.failed = 0

    def __len__(self) -> int:
        return sum(map(len, self._open.values()))

    def open(self, byes: Iterable[Send], due_ns: int) -> None:
        """Watch these sides: each gets its BYE at `due_ns`, unless it is out by then."""
        for bye in byes:
            self._open.setdefault((bye.call_id, bye.from_tag), []).append(Closing(bye, due_ns))

    def late(self, message: LateAnswer, now_ns: int) -> list[Send]:
        """Return what ends a leg that answered too late: an ACK each time, and once a BYE."""
        callee = message.callee
        ack = Send(message.rid, "ACK", message.call_id, callee.shown, message.from_tag, callee, message.cseq, True)
        known = self._late.setdefault(message.rid, set())
        if callee.tag not in known and len(known) < LATE_PER_CALL:
            known.add(callee.tag)
            self.open((ack._replace(method="BYE", cseq=message.cseq + CSEQ_OURS),), now_ns)
        if len(self._late) > LATE_MAX:
            self._late.popitem(last=False)
        return [ack] if callee.tag in known else []

    def answered(self, message: ByeAnswered, now_ns: int) -> None:
        """Hear how a BYE was answered: that side is out, or gets the next one now."""
        key = (message.call_id, message.from_tag)
        is_out = message.status in OK or message.status == NO_SUCH_CALL
        kept = []
        for closing in self._open.get(key, ()):
            if not closing.bye.to.is_at(message.ip):
                kept.append(closing)
            elif not is_out:
                kept.append(_after_refusal(closing, message.status, now_ns))
        self._put(key, kept)

    def due(self, now_ns: int) -> list[Send]:
        """Return the BYEs whose time has come."""
        sends: list[Send] = []
        for key, closings in list(self._open.items()):
            if all(closing.due_ns > now_ns for closing in closings):
                continue
            kept = []
            for closing in closings:
                if closing.due_ns > now_ns:
                    kept.append(closing)
                elif closing.tries == len(WAITS_S):
                    self.failed += 1
                else:
                    sends.append(closing.bye)
                    kept.append(_next(closing, now_ns))
            self._put(key, kept)
        return sends

    def export(self) -> list[bytes]:
        """Return what is open as bytes, for the code after a reload."""
        return [codec.pack(closing) for closings in self._open.values() for closing in closings]

    def restore(self, exported: Iterable[bytes]) -> None:
        """Take over what `export` of the code before returned."""
        for packed in exported:
            closing = codec.unpack(Closing, packed)
            self._open.setdefault((closing.bye.call_id, closing.bye.from_tag), []).append(closing)

    def _put(self, key: tuple[str, str], closings: list[Closing]) -> None:
        if closings:
            self._open[key] = closings
        else:
            self._open.pop(key, None)


def _after_refusal(closing: Closing, status: int, now_ns: int) -> Closing:
    """Return what follows a refused BYE, ours or one passed on: the next one at once, but only once."""
    if closing.was_refused:
        return closing
    leap = OTHERS_LEAP if status == OUT_OF_ORDER else 0
    cseq = min(closing.bye.cseq + leap, CSEQ_END - len(WAITS_S))
    return closing._replace(bye=closing.bye._replace(cseq=cseq), due_ns=now_ns, was_refused=True)


def _next(closing: Closing, now_ns: int) -> Closing:
    bye = closing.bye
    due_ns = now_ns + WAITS_S[closing.tries] * NS
    return closing._replace(bye=bye._replace(cseq=bye.cseq + 1), due_ns=due_ns, tries=closing.tries + 1)
