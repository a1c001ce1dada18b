"""The calls of a node as the agent knows them: what happens in, what to do out. No clock, no I/O, no Kamailio.

Rule 1: a deadline counts from the 200, on CLOCK_MONOTONIC. Nothing but a granted extension moves it.
Rule 2: one operation of a call's talk is on its way at a time, and it is repeated with its id until it is answered.
Rule 3: billed = min(real, granted), real rounded up to seconds. What was talked beyond is our loss: overtalk. Where a
call may go on while Redis is away, that counts as granted: a Settle charges what is held, a late end the rest.
Rule 4: a call ends once; what is heard of it afterwards changes nothing.
Rule 5: an end that Redis cannot settle is told all the same, as a late one: Postgres posts what is missing.
Rule 6: a call whose hold Redis does not know is cut at once: nobody talks without a hold.
Rule 7: one node follows a call. Who finds that another one does lets go of it, and says nothing of its end.
"""

from __future__ import annotations

from typing import Final, assert_never

from kemi import codec
from kemi.adapters.ksr_queue import (
    ByeAnswered,
    Ended,
    Failed,
    HangUp,
    Held,
    LateAnswer,
    LoginAnswered,
    Message,
    Moved,
    ProbeAnswered,
    Refused,
    Started,
)
from kemi.adapters.redis_operations import (
    Adopt,
    Answer,
    Applied,
    Extend,
    Invalid,
    Late,
    Note,
    Part,
    Release,
    Replayed,
    Reservation,
    Result,
    Settle,
    Unknown,
)
from kemi.agent_adoption import MS, OPEN, Became, Moment, adoptable, became, is_behind, legs_of, talk_of, told_again
from kemi.agent_agenda import Agenda
from kemi.agent_beyond import caught_up, end_ns, go_on, settled, told_whole
from kemi.agent_closing import CONFIRM_NS, Closings, closing_byes
from kemi.agent_ends import Past, cancelled, failed_end, is_refusal, refusal, refusal_released, released, unproven_end
from kemi.agent_orders import HandOver, LetGo, LookUp, Order, Outgoing, Recheck, TakeIn
from kemi.agent_pinned import PinnedCalls
from kemi.agent_probes import Over, Probes
from kemi.agent_proofs import answer_mark
from kemi.agent_slices import NS, deadline_ns, due_operation, end_of, extended, next_look_ns, out_of_time, seconds_up
from kemi.agent_strays import stray
from kemi.agent_talk import Talk, in_step, kept, pack_legs, unkept
from kemi.settings import Limits

RETRY_S: Final = 1.0
FORGET_AFTER_S: Final = 60  # beyond its lease an unanswered call is the sweeper's


class Calls:
    """All calls of a node. The agent's one copy; not shared. node: its name; boot_id: of its monotonic clock."""

    def __init__(self, limits: Limits, node: str = "", boot_id: str = "") -> None:
        self._limits = limits
        self._node = node
        self._boot_id = boot_id
        self._talks: dict[str, Talk] = {}
        self._adopting: dict[str, Talk] = {}
        self._agenda = Agenda()
        self._ended = Past()
        self._pinned = PinnedCalls()
        self._probes = Probes(limits.alive_s)
        self.closings = Closings()
        self.overtalk_ms = 0
        self.cut = 0
        self.adopted = 0
        self.went_on = 0

    def __len__(self) -> int:
        return len(self._talks)

    @property
    def talking(self) -> int:
        """How many calls are answered."""
        return sum(1 for talk in self._talks.values() if talk.started)

    def servers(self) -> dict[str, int]:
        """Return the server of each call; 0 = it rings, or talks to a phone."""
        return {rid: talk.started.server_id if talk.started else 0 for rid, talk in self._talks.items()}

    @property
    def talks(self) -> list[Talk]:
        """All of them that are followed here."""
        return list(self._talks.values())

    def get(self, rid: str) -> Talk | None:
        """Return a call that goes on, None when there is none."""
        return self._talks.get(rid)

    @property
    def held(self) -> list[Talk]:
        """The calls that have a hold, those about to be adopted among them."""
        return [talk for talk in (*self._talks.values(), *self._adopting.values()) if talk.is_held]

    def knows(self, rid: str) -> bool:
        """Tell whether a call is followed here, has ended here, or is about to be adopted."""
        return rid in self._talks or rid in self._ended or rid in self._adopting

    def hear(self, message: Message, now_ns: int, now_ms: int) -> list[Order]:  # noqa: PLR0911  one per message
        """Return what to do after `message`. now_ns: monotonic, now_ms: Unix time; both here and below."""
        match message:
            case Held():
                self._held(message, now_ns)
                return []
            case Started():
                return self._started(message, now_ns, now_ms)
            case Ended():
                return self._ended_by(message, now_ns)
            case Moved() | ByeAnswered() | LateAnswer():
                return self._on_the_wire(message, now_ns)
            case ProbeAnswered():
                over = self._probes.answered(message, now_ns)
                return self._found_over(over, now_ns, now_ms) if over else []
            case Failed():
                return self._failed(message)
            case LoginAnswered():
                return []
            case Refused():
                return [refusal(message)]
            case HangUp():
                talk = self._talks.get(message.rid)
                return self._cut(talk, "noc", now_ns, now_ms) if talk and talk.started else []
            case _:
                assert_never(message)

    def due(self, now_ns: int, now_ms: int) -> list[Order]:
        """Return what time demands: extensions, parts, and the ends of calls that nobody pays for any more."""
        self._ended.look(now_ns)
        orders: list[Order] = []
        while (talk := self._agenda.next(self._talks, now_ns)) is not None:
            orders += self._look_at(talk, now_ns, now_ms)
        sends, over = self._probes.due(now_ns, self._talks.values())
        orders += [order for each in over for order in self._found_over(each, now_ns, now_ms)]
        return [*orders, *sends, *self.closings.due(now_ns)]

    # What Redis says --------------------------------------------------------------------------------------------------

    def answered(self, sent: Outgoing, result: Result, now_ns: int) -> list[Order]:
        """Return what to do after Redis answered an operation. Raises ValueError for an end that cannot be read."""
        operation = sent.operation
        is_taken = not isinstance(result, Unknown | Invalid)
        talk = self._talks.get(operation.rid) or self._adopting.get(operation.rid)
        if talk and is_taken and not isinstance(operation, Note):
            talk.heard(operation.seq)
        match operation:
            case Release() if sent.pinned and is_refusal(operation):
                return refusal_released(operation, sent.pinned, result)
            case Settle() | Release() if is_taken:
                return [*told_whole(sent, operation)]
            case Settle() | Release():
                return [Recheck(sent)] if sent.pinned else []
            case Late():
                return [Recheck(sent)] if is_behind(result) else []
            case Adopt():
                return self._adopted(operation, now_ns, is_taken=is_taken)
            case Extend() | Part():
                self._went_on(operation, result, now_ns)
        return [Recheck(sent)] if operation.rid in self._talks and not is_taken else []

    def rechecked(self, sent: Outgoing, reservation: Reservation | None, now_ns: int, now_ms: int) -> list[Order]:
        """Return what follows from an operation that Redis did not take, now that we know its reservation."""
        operation = sent.operation
        if isinstance(operation, Settle | Release | Late):
            return [*told_again(sent, operation, reservation)]
        talk = self._talks.get(operation.rid)
        if talk is None or talk.started is None or not isinstance(operation, Answer | Extend | Part):
            return []
        match became(reservation, self._node):
            case Became.LOST:
                return self._cut(talk, "lost_hold", now_ns, now_ms)
            case Became.ENDED:
                return self._end_quietly(talk, talk.started, now_ns)
            case Became.ANOTHERS:
                self._talks.pop(operation.rid)
                self._probes.forget(operation.rid)
                return [HandOver(operation.rid)]
        return [*in_step(talk, operation, reservation)] if reservation else []

    def not_sent(self, operation: Extend | Part | Adopt, now_ns: int) -> None:
        """Note that Redis did not take this now: it is asked again soon, with the same id."""
        self._adopting.pop(operation.rid, None)
        talk = self._talks.get(operation.rid)
        if talk is not None and talk.started is not None:
            talk.is_unasked = True
            if isinstance(operation, Extend):
                talk.unextended = talk.unextended or "store_down"
            self._retry(talk, talk.started, now_ns)

    def adopt(self, reservation: Reservation | None, now: Moment, *, is_told: bool = True) -> list[Order]:
        """Ask Redis for a call of another process, or of this node before its restart.

        is_told False: tell Redis of the answer, which this node alone knows; the call is followed at once.
        """
        talk = adoptable(reservation, self._boot_id, now)
        if talk is None or talk.started is None or self.knows(talk.call.rid):
            return []
        if not is_told:
            taken_in = self._take_in(talk, talk.started, now.ns)
            return [*taken_in, answer_mark(talk, talk.started, reservation.legs if reservation else b"", now.ns)]
        self._adopting[talk.call.rid] = talk
        return [Outgoing(Adopt(*talk.next_op(), lease_s=seconds_up(deadline_ns(talk, talk.started) - now.ns)))]

    def looked_up(
        self, ended: Ended, found: Reservation | None, ended_redis_ms: int, now_ns: int, late: Started | None = None
    ) -> list[Order]:
        """Return the settlement of a call that another process let in. ended_redis_ms: its end by Redis' clock.

        Where a sweeper has ended it on a guess, the real end is told as a late one. late: an answer that came too late,
        and was ended at once. Raises ValueError for a reservation whose call cannot be read.
        """
        if ended.rid in self._talks:
            return self._ended_by(ended._replace(is_followed=True), now_ns)
        if found is None or not found.pinned:
            return []
        talk = talk_of(found, self._boot_id, Moment(ended.ended_ns, ended_redis_ms))
        talk.started = started = late or talk.started
        self._ended.add(ended.rid)
        is_open = found.state in OPEN
        if started is None or not (late or found.answered_ms):
            return [settled(talk, 0, unproven_end(ended.ended_ms, ended.by))] if is_open else []
        if legs_of(found) and not late:
            self._close(talk, started, ended, now_ns)
        if is_open:
            return [self._finish(talk, started, ended.by, ended.ended_ns, ended.ended_ms)]
        end = end_of(talk, started, ended.by, ended.ended_ns, ended.ended_ms)
        return [Outgoing(Late(*talk.next_op(), found.pinned, codec.pack(end)))]

    def export(self) -> list[bytes]:
        """Return all calls as bytes, for the code that takes over after a reload."""
        return [kept(talk) for talk in self._talks.values()]

    def restore(self, exported: list[bytes]) -> None:
        """Take over what `export` of the code before returned."""
        for packed in exported:
            talk = unkept(packed)
            self._talks[talk.call.rid] = talk
            self._agenda.look_again(talk, talk.due_ns)
            if talk.is_adopted:
                self._probes.follow(talk, talk.due_ns)

    def _held(self, message: Held, now_ns: int) -> None:
        if message.rid in self._talks:
            return
        call = self._pinned.read(message.pinned)
        talk = Talk(call, message.pinned, message.funds, message.granted_s, message.is_held)
        talk.held_micros, talk.sides = message.held_micros, message.sides
        self._talks[message.rid] = talk
        self._agenda.look_again(talk, now_ns + (message.lease_s + FORGET_AFTER_S) * NS)

    def _started(self, message: Started, now_ns: int, now_ms: int) -> list[Order]:
        talk = self._talks.get(message.rid)
        if talk is None:
            self._ended.add(message.rid)
            return stray(message, self.closings, now_ns, now_ms)
        if talk.started is not None:
            return []
        talk.started = message
        self._plan(talk, message)
        legs = pack_legs(message, self._boot_id)
        return [answer_mark(talk, message, legs, now_ns)] if talk.is_held else []

    def _on_the_wire(self, message: Moved | ByeAnswered | LateAnswer, now_ns: int) -> list[Order]:
        if isinstance(message, LateAnswer):
            return [*self.closings.late(message, now_ns)]
        if isinstance(message, ByeAnswered):
            self.closings.answered(message, now_ns)
        elif message.rid in self._talks:
            self._talks[message.rid].moved(message.which, message.side)
        return []

    def _ended_by(self, message: Ended, now_ns: int) -> list[Order]:
        talk = self._talks.get(message.rid)
        if talk is None:
            return [] if message.rid in self._ended else [LookUp(message)]
        if not (message.is_followed or talk.is_adopted):
            return []
        if talk.started is None:
            return self._failed(cancelled(message))
        if message.side is not None:
            talk.moved(message.by, message.side)
        self._close(talk, talk.started, message, now_ns)
        return [self._finish(talk, talk.started, message.by, message.ended_ns, message.ended_ms)]

    def _close(self, talk: Talk, started: Started, ended: Ended, now_ns: int) -> None:
        """Make sure that the call ends on the wire: who said BYE from its own address is out, nobody else."""
        due_ns = now_ns + CONFIRM_NS if ended.by and ended.is_relayed else now_ns
        self.closings.open(closing_byes(talk.call.call_id, started, ended), due_ns)

    def _failed(self, message: Failed) -> list[Order]:
        talk = self._talks.get(message.rid)
        if talk is None or talk.started is not None:
            return []
        self._drop(talk)
        return [released(talk, failed_end(message))]

    def _look_at(self, talk: Talk, now_ns: int, now_ms: int) -> list[Order]:
        """Extend, charge or end a call whose time has come; forget one that nobody answered, its lease is over."""
        started = talk.started
        if started is None:
            self._drop(talk)
            return []
        if now_ns >= deadline_ns(talk, started):
            self.went_on += go_on(talk)
            if now_ns >= end_ns(talk, started):
                return self._cut(talk, out_of_time(talk), now_ns, now_ms)
        talk.pending = talk.pending or due_operation(talk, started, self._limits, now_ns)
        if talk.pending is None:
            self._plan(talk, started)
            return []
        self._agenda.look_again(talk, end_ns(talk, started))
        return [Outgoing(talk.pending)]

    def _went_on(self, operation: Extend | Part, result: Result, now_ns: int) -> None:
        """Hear of an extension or a part. What was granted moves the deadline; what was not is asked for again soon."""
        talk = self._talks.get(operation.rid)
        if talk is None or talk.started is None:
            return
        talk.pending, talk.is_unasked = None, False
        if isinstance(operation, Part) and isinstance(result, Applied | Replayed):
            talk.posted_s = operation.billed_s
            self._plan(talk, talk.started)
        elif isinstance(operation, Extend) and extended(talk, operation, result):
            caught_up(talk, talk.started, operation.rows[-1].talk_s, now_ns)
            self._plan(talk, talk.started)
        else:
            self._retry(talk, talk.started, now_ns)

    def _adopted(self, operation: Adopt, now_ns: int, *, is_taken: bool) -> list[Order]:
        """Follow a call whose adoption Redis took; where it did not, another node has it, or it is over."""
        talk = self._adopting.pop(operation.rid, None)
        if talk is None or talk.started is None or not is_taken:
            return []
        return self._take_in(talk, talk.started, now_ns)

    def _take_in(self, talk: Talk, started: Started, now_ns: int) -> list[Order]:
        self._talks[talk.call.rid] = talk
        self.adopted += 1
        self._probes.follow(talk, now_ns)
        self._plan(talk, started)
        return [TakeIn(talk.call.rid)]

    def _plan(self, talk: Talk, started: Started) -> None:
        """Look at the call again when something is due."""
        self._agenda.look_again(talk, next_look_ns(talk, started, self._limits))

    def _retry(self, talk: Talk, started: Started, now_ns: int) -> None:
        self._agenda.look_again(talk, min(now_ns + int(RETRY_S * NS), end_ns(talk, started)))

    def _cut(self, talk: Talk, by: str, now_ns: int, now_ms: int) -> list[Order]:
        """End a call on both sides."""
        started = talk.started
        if started is None:
            return []
        self.cut += 1
        return [self._finish(talk, started, by, now_ns, now_ms), *self._end_quietly(talk, started, now_ns)]

    def _found_over(self, over: Over, now_ns: int, now_ms: int) -> list[Order]:
        """End an adopted call that has ended while nobody was there."""
        talk = self._talks.get(over.rid)
        if talk is None or talk.started is None:
            return []
        told = self._finish(talk, talk.started, over.by, over.ended_ns, now_ms - (now_ns - over.ended_ns) // MS)
        return [told, *self._end_quietly(talk, talk.started, now_ns)]

    def _end_quietly(self, talk: Talk, started: Started, now_ns: int) -> list[Order]:
        """End a call on both sides; its end is told, or will be, by somebody else."""
        self._drop(talk)
        self._close(talk, started, Ended(talk.call.rid, "", now_ns, 0), now_ns)
        return [LetGo(talk.call.rid, started.h_entry, started.h_id)]

    def _finish(self, talk: Talk, started: Started, by: str, ended_ns: int, ended_ms: int) -> Outgoing:
        self._drop(talk)
        end = end_of(talk, started, by, ended_ns, ended_ms)
        self.overtalk_ms += max(0, end.talk_ms - max(talk.granted_s, talk.until_s) * 1000)
        return settled(talk, end.billed_s, end) if talk.is_held else released(talk, end)

    def _drop(self, talk: Talk) -> None:
        self._talks.pop(talk.call.rid, None)
        self._probes.forget(talk.call.rid)
        self._ended.add(talk.call.rid)
