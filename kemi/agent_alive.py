"""Whether a call that we let in still goes on: nobody says BYE who has lost his power or his network. No clock, no I/O.

Rule 1: each TANDEM_ALIVE_S of talk both sides are asked by OPTIONS within the call. Any answer but 481 and 408 of
either side is a sign of life, whatever it says.
Rule 2: a call of which neither side has given one twice, WAIT_NS apart, is over. It is paid up to then: an end at the
last sign of life would make a call free for two who agree not to answer.
Rule 3: a question has the CSeq that was seen last of the other side, and no higher: else the next request of that side
would be out of order (RFC 3261 §12.2.2). Who minds the repeated number answers 500, and has a call.
"""

from __future__ import annotations

from collections.abc import Iterable
from dataclasses import dataclass
from typing import Final

from kemi.adapters.ksr_bye import Send
from kemi.adapters.ksr_queue import ProbeAnswered
from kemi.agent_closing import byes
from kemi.agent_talk import Talk
from kemi.core.sides import CALLEE, CALLER

NS: Final = 1_000_000_000
WAIT_NS: Final = 32 * NS  # timer F: how long an answer may take
LOOK_NS: Final = 5 * NS  # between two looks at all calls
ROUNDS: Final = 2
SIGNLESS: Final = (408, 481)


@dataclass(slots=True)
class Question:
    """A call of which no side has answered yet. asked: how often both were. due_ns: when they are asked again."""

    asked: int
    due_ns: int
    keys: tuple[tuple[str, str], ...]


class Alive:
    """The questions of a node. Between two of a call nothing is kept of it. alive_s: 0 = nobody is ever asked."""

    def __init__(self, alive_s: int) -> None:
        self._alive_ns = alive_s * NS
        self._questions: dict[str, Question] = {}
        self._asked: dict[tuple[str, str], set[str]] = {}
        self._looked_ns = 0

    def forget(self, rid: str) -> None:
        """Ask no more of this call, for now."""
        question = self._questions.pop(rid, None)
        for key in question.keys if question else ():
            rids = self._asked[key]
            rids.discard(rid)
            if not rids:
                del self._asked[key]

    def answered(self, message: ProbeAnswered) -> None:
        """Hear an answer: a sign of life of each call that was asked so; one that came through us twice is two."""
        if message.status not in SIGNLESS:
            for rid in tuple(self._asked.get((message.call_id, message.from_tag), ())):
                self.forget(rid)

    def due(self, now_ns: int, talks: Iterable[Talk]) -> tuple[list[Send], list[str]]:
        """Return what to ask now, and the rids of calls that are over. talks: those of this node. now_ns: monotonic."""
        if not self._alive_ns or now_ns < self._looked_ns + LOOK_NS:
            return [], []
        since_ns, self._looked_ns = self._looked_ns or now_ns, now_ns
        sends: list[Send] = []
        over: list[str] = []
        for talk in talks:
            if talk.started is None or talk.is_adopted:
                continue
            rid, question = talk.call.rid, self._questions.get(talk.call.rid)
            if question is None:
                began_ns = talk.started.answered_ns
                is_due = (now_ns - began_ns) // self._alive_ns > max(0, (since_ns - began_ns) // self._alive_ns)
            else:
                is_due = now_ns >= question.due_ns
            if is_due and question and question.asked == ROUNDS:
                over.append(rid)
            elif is_due:
                sends += self._ask(talk, (question.asked if question else 0) + 1, now_ns)
        return sends, over

    def _ask(self, talk: Talk, times: int, now_ns: int) -> list[Send]:
        started, rid = talk.started, talk.call.rid
        if started is None:
            return []
        cseqs = {CALLER: started.callee.cseq, CALLEE: started.caller.cseq}
        orders = byes(rid, talk.call.call_id, started.caller, started.callee)
        sends = [send._replace(method="OPTIONS", cseq=cseqs[to]) for to, send in orders.items()]
        # Once each: a callee may answer with the caller's own tag, and then both questions have one name.
        keys = tuple(dict.fromkeys((send.call_id, send.from_tag) for send in sends))
        self._questions[rid] = Question(times, now_ns + WAIT_NS, keys)
        for key in keys:
            self._asked.setdefault(key, set()).add(rid)
        return sends
