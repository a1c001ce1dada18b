"""One call as the agent keeps it, as it goes through a reload, and what an adopter must know of it."""

from __future__ import annotations

from dataclasses import dataclass
from typing import NamedTuple

from kemi import codec
from kemi.adapters.ksr_queue import Started
from kemi.adapters.redis_operations import LEFT, LEGS_MAX, Answer, Extend, Part, Reservation
from kemi.agent_orders import Outgoing
from kemi.core.outcome import IN, OUT
from kemi.core.rating import by_fund, charges, legs_at
from kemi.core.sides import CALLEE, CALLER, Side
from kemi.keys import counts_only
from kemi.records import Attempt, PinnedCall, PinnedLeg


@dataclass(slots=True)
class Talk:
    """One call that goes on. granted_s: talk time paid for. seq: of the last operation. due_ns: when to look at it.

    pending: the operation of its talk that is on its way. held_micros: per fund, for granted_s; () = not known.
    posted_s: how much of its talk is paid already. unextended: why no extension was granted since the last
    grant, in the words of CallEnd.ended_by; "" = none was asked for. sides: as in HoldFund; () = not known.
    told_seq: of the last operation that Redis has answered. is_unasked: Redis could not be asked the last time.
    until_s: how much may be talked in all while the store stays down, 0 = no more than granted_s.
    """

    call: PinnedCall
    pinned: bytes
    funds: tuple[str, ...]
    granted_s: int
    is_held: bool
    seq: int = 0
    due_ns: int = 0
    started: Started | None = None
    pending: Extend | Part | None = None
    held_micros: tuple[int, ...] = ()
    posted_s: int = 0
    unextended: str = ""
    sides: tuple[int, ...] = ()
    told_seq: int = 0
    is_unasked: bool = False
    until_s: int = 0

    @property
    def paid(self) -> list[list[PinnedLeg]]:
        """Per fund, in the order of the hold, the legs that it pays: those of the place that answered."""
        return by_fund(legs_at(self.call.legs, self.call.targets, self._place), self.funds)

    @property
    def joins(self) -> tuple[str, ...]:
        """Funds beside those of the hold that count the call since its answer."""
        return tuple([fund for fund in self.answerers if fund not in self.funds])

    @property
    def sides_now(self) -> tuple[int, ...]:
        """Per fund of the hold, its sides by now: of lines and users those that call, answered or led there."""
        sides, answerers, left = self.sides or (0,) * len(self.funds), self.answerers, self.left
        if self._place < 0:
            return sides
        both = zip(self.funds, sides, strict=True)
        return tuple(
            [_side_now(side, fund in answerers, fund in left) if counts_only(fund) else side for fund, side in both]
        )

    @property
    def _place(self) -> int:
        return self.started.place if self.started else -1

    @property
    def answerers(self) -> tuple[str, ...]:
        """Funds of the line and user that answered."""
        place, targets = self._place, self.call.targets
        return tuple(dict.fromkeys(targets[place].joins)) if 0 <= place < len(targets) else ()

    @property
    def left(self) -> tuple[str, ...]:
        """Funds of lines and users that would have led the call on elsewhere than to who answered."""
        place, targets = self._place, self.call.targets
        if not 0 <= place < len(targets):
            return ()
        leads = targets[place].leads
        return tuple(dict.fromkeys(fund for target in targets for fund in target.leads if fund not in leads))

    @property
    def is_adopted(self) -> bool:
        """Whether another process let it in: then Kamailio has no dialog of it."""
        return self.started is not None and not self.started.h_id

    def moved(self, which: str, side: Side) -> None:
        """Keep what a side became; a CSeq never falls."""
        if self.started is not None and which == CALLER:
            self.started = self.started._replace(caller=side.after(self.started.caller))
        elif self.started is not None and which == CALLEE:
            self.started = self.started._replace(callee=side.after(self.started.callee))

    def next_op(self) -> tuple[str, str, int]:
        """Return operation id, rid and sequence of the next operation."""
        self.seq += 1
        return f"{self.call.rid}:{self.seq}", self.call.rid, self.seq

    def heard(self, seq: int) -> None:
        """Note that Redis has answered the operation of this sequence."""
        self.told_seq = max(self.told_seq, seq)


def _side_now(side: int, has_answered: bool, has_left: bool) -> int:
    """Return the side of a line or user in the hold after the answer; 0, not known, stays."""
    if not side:
        return side
    out = 0 if has_left else side & OUT
    return (out | IN if has_answered else out) or LEFT


def lower(talk: Talk, started: Started) -> tuple[int, ...]:
    """Let the funds hold no more than the place that answered costs them; return that, () where nothing is to change.

    What the dearer places would have cost is their forwarders' again, for the whole of the call.
    """
    if not talk.held_micros or not any(leg.forward for leg in talk.call.legs):
        return ()
    due = charges(talk.paid, talk.granted_s, started.answered_ms)
    talk.held_micros = tuple(map(min, talk.held_micros, due))
    return talk.held_micros


def in_step(talk: Talk, operation: Answer | Extend | Part, reservation: Reservation) -> list[Outgoing]:
    """Let a call go on behind what Redis knows of our own call; an answer that it did not take is told again."""
    talk.heard(reservation.seq)
    talk.seq, talk.posted_s = max(talk.seq, reservation.seq), max(talk.posted_s, reservation.billed_s)
    if reservation.funds == talk.funds and reservation.granted_s == talk.granted_s:
        talk.held_micros = reservation.held  # an answer that was not taken has lowered nothing
    if operation.seq > reservation.seq or not isinstance(operation, Answer):
        return []
    op_id, _, next_seq = talk.next_op()
    return [Outgoing(operation._replace(op_id=op_id, seq=next_seq))]


class Kept(NamedTuple):
    """A Talk on its way through a reload. Fields as there, without the unpacked call; pending is one of two.

    told_seq: -1 where the code before did not keep it.
    """

    pinned: bytes
    funds: tuple[str, ...]
    granted_s: int
    is_held: bool
    seq: int
    due_ns: int
    started: Started | None
    extension: Extend | None
    held_micros: tuple[int, ...] = ()
    posted_s: int = 0
    part: Part | None = None
    unextended: str = ""
    sides: tuple[int, ...] = ()
    told_seq: int = -1
    is_unasked: bool = False
    until_s: int = 0


class Legs(NamedTuple):
    """What Redis keeps with an answered call for its adopter.

    answered_ns: of the 200 on CLOCK_MONOTONIC, of the machine and the boot that boot_id names. caller, callee: as they
    were then. attempts: the failed ones before.
    """

    boot_id: str
    answered_ns: int
    caller: Side
    callee: Side
    attempts: tuple[Attempt, ...] = ()


def pack_legs(started: Started, boot_id: str) -> bytes:
    """Return what an adopter needs; b"" when it is more than Redis keeps: then nobody can end the call on the wire."""
    legs = Legs(boot_id, started.answered_ns, started.caller, started.callee, started.attempts)
    packed = codec.pack(legs)
    return packed if len(packed) <= LEGS_MAX else b""


def kept(talk: Talk) -> bytes:
    """Return a call as bytes for the code after a reload."""
    pending = talk.pending
    row = Kept(
        talk.pinned,
        talk.funds,
        talk.granted_s,
        talk.is_held,
        talk.seq,
        talk.due_ns,
        talk.started,
        pending if isinstance(pending, Extend) else None,
        talk.held_micros,
        talk.posted_s,
        pending if isinstance(pending, Part) else None,
        talk.unextended,
        talk.sides,
        talk.told_seq,
        talk.is_unasked,
        talk.until_s,
    )
    return codec.pack(row)


def unkept(packed: bytes) -> Talk:
    """Return the call that `kept` of the code before wrote. Raises ValueError."""
    row = codec.unpack(Kept, packed)
    return Talk(
        codec.unpack(PinnedCall, row.pinned),
        row.pinned,
        row.funds,
        row.granted_s,
        row.is_held,
        row.seq,
        row.due_ns,
        row.started,
        row.extension or row.part,
        row.held_micros,
        row.posted_s,
        row.unextended,
        row.sides,
        row.told_seq if row.told_seq >= 0 else row.seq - bool(row.extension or row.part),
        row.is_unasked,
        row.until_s,
    )
