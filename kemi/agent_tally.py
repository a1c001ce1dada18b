"""What the agent counts of the calls that it hears of, and the log's line of each: `tandem noc traffic|times|…`.

Rule 1: a call is counted where the agent hears of it anyway; only its times and its refusal are told for this.
Rule 2: a call counts when it begins, again when it is answered, and again when it ends: so a window may have answers
of calls that began before it.
Rule 3: all of it is bounded, and lost with the node: the records in Postgres are what bills are made of.
"""

from __future__ import annotations

from collections.abc import Iterable
from dataclasses import dataclass
from typing import Final

from kemi import codec
from kemi.adapters import ksr_tally
from kemi.adapters.ksr_api import Ksr
from kemi.adapters.ksr_queue import REGISTER, Decided, Failed, Flood, Held, Message, Started
from kemi.adapters.redis_operations import Late, Release, Settle
from kemi.agent_calls import Calls
from kemi.agent_ends import Past
from kemi.agent_orders import HandOver, Order, Outgoing, TakeIn
from kemi.agent_talk import Talk
from kemi.call_log import STAGES, CallLog, ended_line, refused_line
from kemi.records import CallEnd, PinnedCall
from kemi.tally import BUCKET_S
from kemi.tally_answers import ANSWERS, WINDOWS, Exported, Tallies

NS: Final = 1_000_000_000
SWEEP_S: Final = 60


@dataclass(slots=True)
class Going:
    """A call that went. stages_us: as in Decided, without the last until that is told."""

    call: PinnedCall
    is_answered: bool = False
    stages_us: tuple[int, ...] = ()


class AgentTally:
    """The counts and the call log of a node. The agent's one copy."""

    def __init__(self, ksr: Ksr, calls: Calls, lines_max: int, now_ns: int) -> None:
        self._ksr = ksr
        self._calls = calls
        self._log = CallLog(lines_max)
        self._tallies = Tallies(now_ns // NS)
        self._going: dict[str, Going] = {}
        self._ended = Past()
        self._statistics = ksr_tally.statistics(ksr)
        self._second = now_ns // NS
        self._is_changed = True

    def decided(self, told: Decided, now_ns: int) -> None:
        """Hear of an INVITE that a worker has refused."""
        now_s, self._is_changed = now_ns // NS, True
        self._tallies.timed(now_s, told.stages_us)
        self._flooded(told.floods, now_s)
        if not told.reason:
            return  # of a call that went: a worker of the release before
        if told.reason.startswith(REGISTER):
            self._tallies.register_refused(now_s, told.reason, told.address, 1)
            return
        self._tallies.refused(now_s, told.reason, told.address, told.account_id, 1)
        if self._log.passes(told.reason):
            self._write(refused_line(told))

    def heard(self, message: Message, now_ns: int) -> None:
        """Count what begins and what is answered; the calls know of it already."""
        now_s = now_ns // NS
        if isinstance(message, Held):
            self._flooded(message.floods, now_s)
            talk = self._calls.get(message.rid)
            if talk is not None and message.rid not in self._going:
                self._is_changed = True
                self._going[message.rid] = Going(talk.call, stages_us=message.stages_us)
                self._tallies.timed(now_s, message.stages_us)
                self._tallies.began(now_s, talk.call.account_id, is_held=message.is_held)
        elif isinstance(message, Started):
            going = self._going.get(message.rid)
            if going is not None and not going.is_answered:
                self._is_changed = going.is_answered = True
                self._tallies.answered(now_s)
                self._tallies.tried(now_s, message.attempts)
                self._applied(going, message.applied_us, now_s)
        elif isinstance(message, Failed) and (over := self._going.get(message.rid)):
            self._applied(over, message.applied_us, now_s)

    def did(self, orders: Iterable[Order], now_ns: int) -> None:
        """Count and log what ends."""
        for order in orders:
            if isinstance(order, Outgoing) and isinstance(order.operation, Settle | Release | Late):
                self._over(order.operation, order.pinned, now_ns // NS)
            elif isinstance(order, TakeIn) and (talk := self._calls.get(order.rid)):
                self._going[order.rid] = _of(talk)
            elif isinstance(order, HandOver):
                self._going.pop(order.rid, None)

    def turn(self, now_ns: int) -> None:
        """Once a second: say how it goes, and what the log left out."""
        now_s = now_ns // NS
        if now_s == self._second:
            return
        self._second = now_s
        self._write(*self._log.left_out(now_s))
        self._add_statistics(now_s)
        for rid in list(self._going) if now_s % SWEEP_S == 0 else ():
            if not self._calls.get(rid):
                del self._going[rid]  # nobody ever told its end: settlement's sweeper will
        if self._is_changed or now_s % BUCKET_S == 0:
            self._is_changed = False
            self._publish(now_s)

    def export(self) -> bytes:
        """Return the counts as bytes, for the code after a reload."""
        return codec.pack(self._tallies.export())

    def restore(self, exported: bytes) -> None:
        """Take over what `export` of the code before returned, and the calls that it followed."""
        if exported:
            self._tallies.restore(codec.unpack(Exported, exported))
        self._going = {talk.call.rid: _of(talk) for talk in self._calls.talks}

    def _flooded(self, floods: tuple[Flood, ...], now_s: int) -> None:
        for flood in floods:
            self._is_changed = True
            if flood.reason.startswith(REGISTER):
                self._tallies.register_refused(now_s, flood.reason, flood.address, flood.times)
                continue
            self._tallies.refused(now_s, flood.reason, flood.address, 0, flood.times)
            self._log.leave_out(flood.reason, flood.times)

    def _applied(self, going: Going, applied_us: int, now_s: int) -> None:
        """Take in how long it took to carry a call out, where that is known."""
        if applied_us >= 0 and len(going.stages_us) == len(STAGES) - 1:
            self._is_changed = True
            going.stages_us = (*going.stages_us, applied_us)
            self._tallies.applied(now_s, going.stages_us)

    def _over(self, closing: Settle | Release | Late, pinned: bytes, now_s: int) -> None:
        """Note the end of a call, once; a refusal is none, and is told by the worker."""
        self._ended.look(now_s * NS)
        if closing.rid in self._ended:
            return
        end = codec.unpack(CallEnd, closing.end)
        if end.outcome == "refused":
            return
        self._ended.add(closing.rid)
        self._is_changed = True
        self._tallies.ended(now_s, end)
        going = self._going.get(closing.rid)
        if going is None:  # another process let it in
            packed = closing.call if isinstance(closing, Late) else pinned
            self._log_end(closing.rid, Going(codec.unpack(PinnedCall, packed)), end)
            return
        if not going.is_answered:
            self._tallies.tried(now_s, end.attempts)
        self._log_end(closing.rid, going, end)

    def _log_end(self, rid: str, going: Going, end: CallEnd) -> None:
        self._going.pop(rid, None)
        if self._log.passes(end.reason or end.outcome):
            self._write(ended_line(going.call, end, going.stages_us))

    def _add_statistics(self, now_s: int) -> None:
        """Count what workers have counted since the last second."""
        before, self._statistics = self._statistics, ksr_tally.statistics(self._ksr)
        for name, total in self._statistics.items():
            if total > before[name]:
                self._is_changed = True
                self._tallies.counted(now_s, name, total - before[name])

    def _publish(self, now_s: int) -> None:
        servers = self._calls.servers()
        running: dict[int, int] = {}
        for server_id in servers.values():
            running[server_id] = running.get(server_id, 0) + 1
        for window, span_s in WINDOWS.items():
            for what, answer in ANSWERS.items():
                ksr_tally.publish(self._ksr, what, window, answer(self._tallies, now_s, span_s, running))

    def _write(self, *lines: str) -> None:
        for line in lines:
            self._ksr.notice(f"{line}\n")


def _of(talk: Talk) -> Going:
    """Return a call that others had counted. Its times are not known here."""
    return Going(talk.call, is_answered=talk.started is not None)
