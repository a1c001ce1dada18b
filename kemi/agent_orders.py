"""What the calls of a node ask of the agent: to tell Redis, to ask it, to send a request of ours, to remember less."""

from __future__ import annotations

from typing import NamedTuple

from kemi.adapters.ksr_bye import Send
from kemi.adapters.ksr_queue import Ended, Started
from kemi.adapters.redis_operations import Operation


class Outgoing(NamedTuple):
    """An operation for Redis. pinned: packed PinnedCall, to tell of the call should Redis not know the reservation.

    whole: with a Settle that charges less than was talked, because no more is held: packed CallEnd of the whole call,
    to be told as a late end once Redis has the Settle. funds: with a Settle, those of the hold, in the order of its
    prices; () in spools of before.
    """

    operation: Operation
    pinned: bytes = b""
    whole: bytes = b""
    funds: tuple[str, ...] = ()


class LookUp(NamedTuple):
    """A call ended that is not known here: ask Redis what it was. started: its answer, where it was answered here."""

    ended: Ended
    started: Started | None = None


class Recheck(NamedTuple):
    """Redis did not take this: ask what became of the reservation before anything follows from it."""

    sent: Outgoing


class TakeIn(NamedTuple):
    """A call that another process let in is followed here from now on."""

    rid: str


class HandOver(NamedTuple):
    """Another node follows this call now: nothing is done for it here any more, and nothing is said of its end."""

    rid: str


class LetGo(NamedTuple):
    """Let Kamailio forget this call. h_entry, h_id: the dialog's place; 0, 0 = there is none."""

    rid: str
    h_entry: int
    h_id: int


Entry = Outgoing | LookUp | Recheck
Order = Entry | Send | TakeIn | HandOver | LetGo
