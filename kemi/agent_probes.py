"""Whether an adopted call still goes on: its BYE may have come when nobody was there to hear it. No clock, no I/O.

Rule 1: both sides are asked by OPTIONS within the call, at once and then every 30 s. 481 means that it is over.
Rule 2: any other answer is a sign of life, whatever it says. A call of which neither side has answered three times is
over too, and ended with its last sign of life.
Rule 3: calls that we let in ourselves are asked about seldom, and in another way: kemi/agent_alive.py.
"""

from __future__ import annotations

import heapq
from collections.abc import Iterable
from dataclasses import dataclass
from typing import Final, NamedTuple

from kemi.adapters.ksr_bye import Send
from kemi.adapters.ksr_queue import ProbeAnswered
from kemi.agent_alive import Alive
from kemi.agent_closing import byes
from kemi.agent_talk import Talk
from kemi.core.sides import CSEQ_LEAP

EVERY_NS: Final = 30_000_000_000
SILENT_MAX: Final = 3
UNHEARD: Final = 408  # of a proxy on the way, or of our own timer
NO_SUCH_CALL: Final = 481
SILENT: Final = "silent"


class Over(NamedTuple):
    """A call that has ended. by: the side that knows, SILENT or "" = nobody answers. ended_ns: as far as we know."""

    rid: str
    by: str
    ended_ns: int


@dataclass(slots=True)
class Probe:
    """One adopted call. alive_ns: its last sign of life. silent: how often it was asked since."""

    sends: dict[str, Send]
    alive_ns: int
    silent: int = 0
    asked: int = 0


class Probes:
    """Those of a node. alive_s: TANDEM_ALIVE_S."""

    def __init__(self, alive_s: int = 0) -> None:
        self._alive = Alive(alive_s)
        self._probes: dict[str, Probe] = {}
        self._sides: dict[tuple[str, str], tuple[str, str]] = {}
        self._due: list[tuple[int, str]] = []

    def follow(self, talk: Talk, at_ns: int) -> None:
        """Ask about this adopted call from then on. at_ns: monotonic, here and below."""
        if talk.started is None or talk.call.rid in self._probes:
            return
        sends = byes(talk.call.rid, talk.call.call_id, talk.started.caller, talk.started.callee)
        # Below our BYE, which leaps over what was not seen; above what was seen.
        asks = {to: send._replace(method="OPTIONS", cseq=send.cseq - CSEQ_LEAP // 2) for to, send in sends.items()}
        self._probes[talk.call.rid] = Probe(asks, at_ns)
        for to, send in asks.items():
            self._sides[send.call_id, send.from_tag] = (talk.call.rid, to)
        heapq.heappush(self._due, (at_ns, talk.call.rid))

    def forget(self, rid: str) -> None:
        """Ask no more."""
        self._alive.forget(rid)
        probe = self._probes.pop(rid, None)
        for send in probe.sends.values() if probe else ():
            self._sides.pop((send.call_id, send.from_tag), None)

    def answered(self, message: ProbeAnswered, now_ns: int) -> Over | None:
        """Hear an answer; return the call when it says that it is over."""
        self._alive.answered(message)
        rid, which = self._sides.get((message.call_id, message.from_tag), ("", ""))
        probe = self._probes.get(rid)
        if probe is None or message.status == UNHEARD:
            return None
        if message.status == NO_SUCH_CALL:
            return Over(rid, which, now_ns)
        probe.alive_ns, probe.silent = now_ns, 0
        return None

    def due(self, now_ns: int, talks: Iterable[Talk] = ()) -> tuple[list[Send], list[Over]]:
        """Return what to ask now, and the calls of which nobody has answered. talks: all of this node."""
        sends, silent = self._alive.due(now_ns, talks)
        over = [Over(rid, SILENT, now_ns) for rid in silent]
        while self._due and self._due[0][0] <= now_ns:
            due_ns, rid = heapq.heappop(self._due)
            probe = self._probes.get(rid)
            if probe is None:
                continue
            if probe.silent == SILENT_MAX:
                over.append(Over(rid, "", probe.alive_ns))
                continue
            probe.alive_ns = probe.alive_ns if probe.asked else now_ns
            sends += [send._replace(cseq=send.cseq + probe.asked) for send in probe.sends.values()]
            probe.asked += 1
            probe.silent += 1
            heapq.heappush(self._due, (due_ns + EVERY_NS, rid))
        return sends, over
