"""The calls of a node as the agent knows them: what happens in, what to do out. No clock, no I/O, no Kamailio.

Rule 1: a deadline counts from the 200, on CLOCK_MONOTONIC. Nothing but a granted extension moves it.
Rule 2: one extension of a call is on its way at a time, and it is repeated with its operation id until it is answered.
Rule 3: billed = min(real, granted), real rounded up to seconds. What was talked beyond is our loss: overtalk.
Rule 4: a call ends once; what is heard of it afterwards changes nothing.
Rule 5: an end that Redis cannot settle is told all the same, as a late one: Postgres posts what is missing.
Rule 6: a call whose hold Redis does not know is cut at once: nobody talks without a hold.
"""

from __future__ import annotations

import heapq
from collections import OrderedDict
from typing import Final, NamedTuple, assert_never

from kemi import codec
from kemi.adapters.ksr_bye import Send
from kemi.adapters.ksr_queue import (
    ByeAnswered,
    Ended,
    Failed,
    HangUp,
    Held,
    LateAnswer,
    Message,
    Moved,
    Refused,
    Started,
)
from kemi.adapters.redis_funds import (
    Answer,
    Applied,
    Extend,
    Invalid,
    Late,
    Note,
    Operation,
    Release,
    Replayed,
    Reservation,
    Result,
    Settle,
    Unknown,
)
from kemi.agent_closing import CONFIRM_NS, Closings, byes
from kemi.agent_talk import Kept, Talk
from kemi.core.causes import Cause, cause_of
from kemi.core.rating import prices, schedule
from kemi.core.refusals import REFUSALS
from kemi.core.sides import CALLEE, CALLER
from kemi.records import CallEnd, PinnedCall
from kemi.settings import Limits

LEAD_MAX_S: Final = 10.0  # longer than a promoted Redis is away, so that it costs no call
LEAD_SHARE: Final = 0.25  # of a slice; a short slice is extended later, or it would be extended all the time
RETRY_S: Final = 1.0
FORGET_AFTER_S: Final = 60  # beyond its lease an unanswered call is the sweeper's
ENDED_KEPT: Final = 20_000  # ends that are remembered, so that a late word of them asks Redis nothing
NS: Final = 1_000_000_000
MS: Final = 1_000_000  # nanoseconds
ANSWERED_OK: Final = 200
NORMAL_CLEARING: Final = 16
INTERNAL: Final = 500
CANCELLED: Final = 487
OPEN: Final = frozenset({"held", "answered"})


class Outgoing(NamedTuple):
    """An operation for Redis. pinned: packed PinnedCall, to tell of the call should Redis not know the reservation."""

    operation: Operation
    pinned: bytes = b""


class LetGo(NamedTuple):
    """Let Kamailio forget this call. h_entry, h_id: the dialog's place."""

    rid: str
    h_entry: int
    h_id: int


class Adopt(NamedTuple):
    """A call ended that is not known here: ask Redis what it was."""

    ended: Ended


Order = Outgoing | Send | LetGo | Adopt


class Calls:
    """All calls of a node. The agent's one copy; not shared."""

    def __init__(self, limits: Limits) -> None:
        self._limits = limits
        self._talks: dict[str, Talk] = {}
        self._due: list[tuple[int, str]] = []
        self._ended: OrderedDict[str, None] = OrderedDict()
        self.closings = Closings()
        self.overtalk_ms = 0
        self.cut = 0

    def __len__(self) -> int:
        return len(self._talks)

    @property
    def talking(self) -> int:
        """How many calls are answered."""
        return sum(1 for talk in self._talks.values() if talk.started)

    def get(self, rid: str) -> Talk | None:
        """Return a call that goes on, None when there is none."""
        return self._talks.get(rid)

    def hear(self, message: Message, now_ns: int, now_ms: int) -> list[Order]:  # noqa: PLR0911  one per message
        """Return what to do after `message`. now_ns: monotonic, now_ms: Unix time; both here and below."""
        match message:
            case Held():
                self._held(message, now_ns)
                return []
            case Started():
                return self._started(message, now_ns)
            case Ended():
                return self._ended_by(message, now_ns)
            case Moved() | ByeAnswered() | LateAnswer():
                return self._on_the_wire(message, now_ns)
            case Failed():
                return self._failed(message)
            case Refused():
                return [_refusal(message)]
            case HangUp():
                talk = self._talks.get(message.rid)
                return self._cut(talk, "noc", now_ns, now_ms) if talk and talk.started else []
            case _:
                assert_never(message)

    def due(self, now_ns: int, now_ms: int) -> list[Order]:
        """Return what time demands: extensions, and the ends of calls that nobody pays for any more."""
        orders: list[Order] = []
        while self._due and self._due[0][0] <= now_ns:
            due_ns, rid = heapq.heappop(self._due)
            talk = self._talks.get(rid)
            if talk is not None and talk.due_ns == due_ns:
                orders += self._look_at(talk, now_ns, now_ms)
        return [*orders, *self.closings.due(now_ns)]

    def answered(self, sent: Outgoing, result: Result, now_ns: int, now_ms: int) -> list[Order]:
        """Return what to do after Redis answered an operation. Raises ValueError for an end that cannot be read."""
        operation = sent.operation
        if isinstance(operation, Settle | Release):
            return _unsettled(operation, sent.pinned, result) if sent.pinned else []
        if isinstance(operation, Answer | Extend) and isinstance(result, Unknown):
            talk = self._talks.get(operation.rid)
            return self._cut(talk, "lost_hold", now_ns, now_ms) if talk is not None else []
        if isinstance(operation, Extend):
            self._extended(operation, result, now_ns)
        return []

    def not_sent(self, operation: Extend, now_ns: int) -> None:
        """Note that Redis took no extension now: it is asked again soon, with the same operation id."""
        talk = self._talks.get(operation.rid)
        if talk is not None and talk.started is not None:
            self._look_again(talk, min(now_ns + int(RETRY_S * NS), _deadline_ns(talk, talk.started)))

    def adopt(self, ended: Ended, reservation: Reservation | None, ended_redis_ms: int) -> list[Order]:
        """Return the settlement of a call that another process let in. ended_redis_ms: its end by Redis' clock.

        Where a sweeper has ended it on a guess, the real end is told as a late one. Raises ValueError for a reservation
        whose call cannot be read.
        """
        if reservation is None or not reservation.pinned:
            return []
        call = codec.unpack(PinnedCall, reservation.pinned)
        talk = Talk(call, reservation.pinned, reservation.funds, reservation.granted_s, is_held=True)
        talk.seq = reservation.seq
        self._remember(ended.rid)
        is_open = reservation.state in OPEN
        if not reservation.answered_ms:
            unproven = _end("unknown_end", ended.ended_ms, 0, 0, 0, ended.by)
            return [self._settle(talk, 0, unproven)] if is_open else []
        talk_ms = max(0, ended_redis_ms - reservation.answered_ms)
        billed_s = min(_seconds_up(talk_ms * MS), talk.granted_s)
        end = _end("answered", ended.ended_ms, ended.ended_ms - talk_ms, talk_ms, billed_s, ended.by)
        end = end._replace(server_id=reservation.server_id)
        if not is_open:
            return [Outgoing(Late(*talk.next_op(), reservation.pinned, codec.pack(end)))]
        return [self._settle(talk, billed_s, end)]

    def export(self) -> list[bytes]:
        """Return all calls as bytes, for the code that takes over after a reload."""
        kept = (
            Kept(
                talk.pinned, talk.funds, talk.granted_s, talk.is_held, talk.seq, talk.due_ns, talk.started, talk.pending
            )
            for talk in self._talks.values()
        )
        return [codec.pack(row) for row in kept]

    def restore(self, exported: list[bytes]) -> None:
        """Take over what `export` of the code before returned."""
        for packed in exported:
            row = codec.unpack(Kept, packed)
            talk = Talk(codec.unpack(PinnedCall, row.pinned), *row)
            self._talks[talk.call.rid] = talk
            self._look_again(talk, row.due_ns)

    def _held(self, message: Held, now_ns: int) -> None:
        if message.rid in self._talks:
            return
        call = codec.unpack(PinnedCall, message.pinned)
        talk = Talk(call, message.pinned, message.funds, message.granted_s, message.is_held)
        self._talks[message.rid] = talk
        self._look_again(talk, now_ns + (message.lease_s + FORGET_AFTER_S) * NS)

    def _started(self, message: Started, now_ns: int) -> list[Order]:
        talk = self._talks.get(message.rid)
        if talk is None or talk.started is not None:
            return []
        talk.started = message
        self._plan(talk, message)
        if not talk.is_held:
            return []
        left_s = _seconds_up(_deadline_ns(talk, message) - now_ns)
        return [Outgoing(Answer(*talk.next_op(), lease_s=left_s, server_id=message.server_id))]

    def _on_the_wire(self, message: Moved | ByeAnswered | LateAnswer, now_ns: int) -> list[Order]:
        if isinstance(message, LateAnswer):
            return [*self.closings.late(message, now_ns)]
        if isinstance(message, ByeAnswered):
            self.closings.answered(message, now_ns)
        else:
            self._moved(message)
        return []

    def _moved(self, message: Moved) -> None:
        """Keep what a side became; a CSeq never falls."""
        talk = self._talks.get(message.rid)
        if talk is None or talk.started is None or message.which not in (CALLER, CALLEE):
            return
        if message.which == CALLER:
            talk.started = talk.started._replace(caller=message.side.after(talk.started.caller))
        else:
            talk.started = talk.started._replace(callee=message.side.after(talk.started.callee))

    def _ended_by(self, message: Ended, now_ns: int) -> list[Order]:
        talk = self._talks.get(message.rid)
        if talk is None:
            return [] if message.rid in self._ended else [Adopt(message)]
        if not message.is_followed:
            return []
        if talk.started is None:
            return self._failed(Failed(message.rid, CANCELLED, True, (), message.ended_ms))
        self._close(talk, talk.started, message, now_ns)
        return [self._finish(talk, talk.started, message.by, message.ended_ns, message.ended_ms)]

    def _close(self, talk: Talk, started: Started, ended: Ended, now_ns: int) -> None:
        """Make sure that the call ends on the wire: who said BYE from its own address is out, nobody else."""
        orders = byes(ended.rid, talk.call.call_id, started.caller, started.callee)
        if ended.is_sure:
            orders.pop(ended.by, None)
        self.closings.open(orders.values(), now_ns + CONFIRM_NS if ended.by else now_ns)

    def _failed(self, message: Failed) -> list[Order]:
        talk = self._talks.get(message.rid)
        if talk is None or talk.started is not None:
            return []
        self._drop(talk)
        status = message.status or INTERNAL
        known = REFUSALS.get(message.reason)
        cause = Cause(message.reason, known.q850) if known else cause_of(status)
        end = CallEnd(
            outcome="cancelled" if message.is_cancelled else "failed",
            ended_ms=message.ended_ms,
            answered_ms=0,
            talk_ms=0,
            billed_s=0,
            status=status,
            reason=cause.reason,
            q850=cause.q850,
            ended_by="caller" if message.is_cancelled else "",
            attempts=message.attempts,
        )
        return [_release(talk, end)]

    def _look_at(self, talk: Talk, now_ns: int, now_ms: int) -> list[Order]:
        """Extend or end a call whose time has come; forget one that nobody answered, its lease is over."""
        if talk.started is None:
            self._drop(talk)
            return []
        deadline_ns = _deadline_ns(talk, talk.started)
        if now_ns >= deadline_ns:
            return self._cut(talk, "maximum" if talk.granted_s >= talk.call.max_s else "money", now_ns, now_ms)
        if talk.pending is None:
            talk.pending = self._extension(talk, deadline_ns, now_ns)
        self._look_again(talk, deadline_ns)
        return [Outgoing(talk.pending)]

    def _extension(self, talk: Talk, deadline_ns: int, now_ns: int) -> Extend:
        to_s = min(talk.granted_s + self._limits.slice_s, talk.call.max_s)
        rows = schedule(talk.rates, talk.granted_s, to_s)
        left_s = _seconds_up(deadline_ns - now_ns) + to_s - talk.granted_s
        return Extend(*talk.next_op(), rows=rows, lease_s=left_s)

    def _extended(self, operation: Extend, result: Result, now_ns: int) -> None:
        talk = self._talks.get(operation.rid)
        if talk is None or talk.started is None:
            return
        talk.pending = None
        if isinstance(result, Applied | Replayed) and result.granted_s > talk.granted_s:
            talk.granted_s = result.granted_s
            self._plan(talk, talk.started)
        else:
            self._look_again(talk, min(now_ns + int(RETRY_S * NS), _deadline_ns(talk, talk.started)))

    def _plan(self, talk: Talk, started: Started) -> None:
        """Look at the call again shortly before its deadline, or at it when nothing more can be granted."""
        deadline_ns = _deadline_ns(talk, started)
        may_extend = talk.is_held and talk.granted_s < talk.call.max_s
        lead_s = min(LEAD_MAX_S, self._limits.slice_s * LEAD_SHARE) if may_extend else 0.0
        self._look_again(talk, deadline_ns - int(lead_s * NS))

    def _look_again(self, talk: Talk, due_ns: int) -> None:
        talk.due_ns = due_ns
        heapq.heappush(self._due, (due_ns, talk.call.rid))

    def _cut(self, talk: Talk, by: str, now_ns: int, now_ms: int) -> list[Order]:
        """End a call on both sides."""
        started = talk.started
        if started is None:
            return []
        self.cut += 1
        self._close(talk, started, Ended(talk.call.rid, "", now_ns, now_ms), now_ns)
        return [
            self._finish(talk, started, by, now_ns, now_ms),
            LetGo(talk.call.rid, started.h_entry, started.h_id),
        ]

    def _finish(self, talk: Talk, started: Started, by: str, ended_ns: int, ended_ms: int) -> Outgoing:
        self._drop(talk)
        talk_ns = max(0, ended_ns - started.answered_ns)
        talk_ms, billed_s = talk_ns // MS, min(_seconds_up(talk_ns), talk.granted_s)
        self.overtalk_ms += max(0, talk_ms - talk.granted_s * 1000)
        end = _end("answered", ended_ms, started.answered_ms, talk_ms, billed_s, by)
        end = end._replace(server_id=started.server_id, attempts=started.attempts)
        return self._settle(talk, billed_s, end) if talk.is_held else _release(talk, end)

    def _settle(self, talk: Talk, billed_s: int, end: CallEnd) -> Outgoing:
        price_micros = prices(talk.rates, billed_s)
        return Outgoing(Settle(*talk.next_op(), billed_s, price_micros, codec.pack(end)), talk.pinned)

    def _drop(self, talk: Talk) -> None:
        self._talks.pop(talk.call.rid, None)
        self._remember(talk.call.rid)

    def _remember(self, rid: str) -> None:
        self._ended[rid] = None
        if len(self._ended) > ENDED_KEPT:
            self._ended.popitem(last=False)


def _release(talk: Talk, end: CallEnd) -> Outgoing:
    return Outgoing(Release(*talk.next_op(), codec.pack(end)), talk.pinned)


def _refusal(message: Refused) -> Outgoing:
    """Note the refused call; where Redis may hold it all the same, release it first, which leads to the note."""
    if message.maybe_held:
        return Outgoing(Release(f"{message.rid}:1", message.rid, 1, message.end), message.pinned)
    return Outgoing(Note(f"{message.rid}:note", message.rid, message.pinned, message.end))


def _unsettled(closing: Settle | Release, pinned: bytes, result: Result) -> list[Order]:
    """Return how to tell of an end that Redis did not settle: the reservation is gone, closed, or does not fit it.

    A refusal is noted where nothing was held. Where something is, another request's call has it, and its end counts.
    """
    if not isinstance(result, Unknown | Invalid):
        return []
    if codec.unpack(CallEnd, closing.end).outcome == "refused":
        note = Note(f"{closing.rid}:note", closing.rid, pinned, closing.end)
        return [Outgoing(note)] if isinstance(result, Unknown) else []
    seq = closing.seq + 1
    return [Outgoing(Late(f"{closing.rid}:{seq}", closing.rid, seq, pinned, closing.end))]


def _end(outcome: str, ended_ms: int, answered_ms: int, talk_ms: int, billed_s: int, by: str) -> CallEnd:
    return CallEnd(outcome, ended_ms, answered_ms, talk_ms, billed_s, ANSWERED_OK, "", NORMAL_CLEARING, by)


def _deadline_ns(talk: Talk, started: Started) -> int:
    return started.answered_ns + talk.granted_s * NS


def _seconds_up(nanoseconds: int) -> int:
    return max(0, -(-nanoseconds // NS))
