"""Calls that another process let in, as their reservations tell of them. No clock, no I/O.

Rule 1: only an answered call is adopted, and only where its answer told who the two sides are: who cannot end a call
must not let it go on.
Rule 2: talk counts from the 200 by CLOCK_MONOTONIC where that is the same clock, else from the answer mark by Redis'.
Rule 3: what became of a reservation decides what an operation that was not taken means: another node's operation is no
lost hold, and an end that is told already is not told again.
"""

from __future__ import annotations

from enum import Enum
from typing import Final, NamedTuple

from kemi import codec
from kemi.adapters.ksr_queue import Started
from kemi.adapters.redis_operations import Invalid, Late, Release, Reservation, Result, Settle
from kemi.agent_orders import Outgoing
from kemi.agent_talk import Legs, Talk
from kemi.core.sides import Side
from kemi.records import PinnedCall

OPEN: Final = frozenset({"held", "answered"})
MS: Final = 1_000_000  # nanoseconds
NOBODY: Final = Side("", "", "", "")


class Moment(NamedTuple):
    """One moment by two clocks. ns: our CLOCK_MONOTONIC; redis_ms: Redis TIME."""

    ns: int
    redis_ms: int


class Became(Enum):
    """What a reservation is to the node that follows its call. OURS: open, and of nobody else."""

    OURS = 1
    ANOTHERS = 2
    ENDED = 3
    LOST = 4


def talk_of(reservation: Reservation, boot_id: str, now: Moment) -> Talk:
    """Return an answered call. boot_id: of the clock of now.ns. Raises ValueError where the call cannot be read."""
    legs = legs_of(reservation)
    call = codec.unpack(PinnedCall, reservation.pinned)
    started = Started(
        rid=call.rid,
        h_entry=0,
        h_id=0,
        caller=legs.caller.as_told() if legs else NOBODY,
        callee=legs.callee.as_told() if legs else NOBODY,
        server_id=reservation.server_id,
        attempts=legs.attempts if legs else (),
        answered_ns=_answered_ns(reservation, legs, boot_id, now),
        answered_ms=reservation.node_answered_ms or reservation.answered_ms,
        place=reservation.place,
    )
    return Talk(
        call,
        reservation.pinned,
        reservation.funds,
        reservation.granted_s,
        is_held=True,
        seq=reservation.seq,
        started=started,
        held_micros=reservation.held,
        posted_s=reservation.billed_s if reservation.state in OPEN else 0,
        sides=reservation.sides,
        told_seq=reservation.seq,
    )


def adoptable(reservation: Reservation | None, boot_id: str, now: Moment) -> Talk | None:
    """Return the call that a reservation lets anybody carry on, None where it does not."""
    if reservation is None or reservation.state != "answered" or legs_of(reservation) is None:
        return None
    try:
        return talk_of(reservation, boot_id, now)
    except ValueError:
        return None


def legs_of(reservation: Reservation) -> Legs | None:
    """Return what was told with the answer, None where nothing was, or nothing that we can read."""
    try:
        return codec.unpack(Legs, reservation.legs) if reservation.legs else None
    except ValueError:
        return None


def became(reservation: Reservation | None, node: str) -> Became:
    """Return what became of the hold of a call that `node` follows."""
    if reservation is None:
        return Became.LOST
    if reservation.state in OPEN:
        return Became.OURS if reservation.node == node else Became.ANOTHERS
    return Became.ENDED if _is_told(reservation) else Became.LOST


def is_behind(result: Result) -> bool:
    """Whether Redis did not take an operation for its sequence alone: somebody else was faster."""
    return isinstance(result, Invalid) and result.text.startswith("sequence ")


def told_again(sent: Outgoing, closing: Settle | Release | Late, reservation: Reservation | None) -> list[Outgoing]:
    """Return how to tell of an end that Redis did not take.

    Where another node has the call meanwhile: with the next sequence. Where the end is told: not at all. Else as a late
    one, for the reservation is gone, was ended on a guess, or does not fit.
    """
    seen = reservation.seq if reservation else 0
    seq = max(closing.seq, seen) + 1
    if isinstance(closing, Late):
        return [sent._replace(operation=closing._replace(op_id=f"{closing.rid}:{seq}", seq=seq))]
    if reservation is not None:
        if reservation.state in OPEN and seen >= closing.seq:
            return [sent._replace(operation=closing._replace(op_id=f"{closing.rid}:{seq}", seq=seq))]
        if isinstance(closing, Settle) and _is_told(reservation):
            return []
    return [Outgoing(Late(f"{closing.rid}:{seq}", closing.rid, seq, sent.pinned, sent.whole or closing.end))]


def _is_told(reservation: Reservation) -> bool:
    """Whether somebody who knew of the answer told of the end. A sweeper, which guesses, leaves the call there."""
    return reservation.state == "settled" and not reservation.pinned and reservation.answered_ms > 0


def _answered_ns(reservation: Reservation, legs: Legs | None, boot_id: str, now: Moment) -> int:
    if legs and boot_id and legs.boot_id == boot_id:
        return legs.answered_ns
    return now.ns - (now.redis_ms - reservation.answered_ms) * MS
