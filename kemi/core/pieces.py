"""What a walk through destinations finds, before anything of it is priced or laid out in time."""

from __future__ import annotations

from typing import NamedTuple

from kemi.core.called import Called
from kemi.core.caller_id import Diverted
from kemi.core.chains import Chain
from kemi.core.forwards import Forwarder
from kemi.core.outcome import HoldFund
from kemi.core.request import E164
from kemi.records import MediaServer

BUSY, NO_ANSWER, UNREACHABLE = 0, 1, 2
"""How a piece may end, as the place of its edge."""


class Path(NamedTuple):
    """How a branch came where it is. visited: the destinations that led here. depth: forwards and callflows among them.

    forwards: those to numbers, as in PinnedTarget. diversions: latest first. number: E.164 by which what comes is
    reached, "" = by none. leads: what counts the calls of the lines and users that led it on, whatever came between.
    """

    visited: frozenset[str] = frozenset()
    depth: int = 0
    forwards: tuple[int, ...] = ()
    diversions: tuple[Diverted, ...] = ()
    number: str = ""
    leads: tuple[HoldFund, ...] = ()


class Rung(NamedTuple):
    """Phones that ring at once."""

    lines: tuple[Called, ...]


class Placed(NamedTuple):
    """A trunk at fixed addresses."""

    line: Called


class Away(NamedTuple):
    """A number that is not ours. n: of the leap that pays for it."""

    n: int


class Played(NamedTuple):
    """A media server and the user part that is called there."""

    server: MediaServer
    user: str


class Refused(NamedTuple):
    """A callflow says that the call ends so; status 0 = as the reason flow_reject."""

    status: int
    phrase: str


class Piece(NamedTuple):
    """What may become a stage. ring_s: 0 = the node's time."""

    what: Rung | Placed | Away | Played | Refused
    path: Path
    ring_s: int = 0


class Leap(NamedTuple):
    """A forward to a number, which its forwarder's chain pays for. n: from 1. called: of a number of ours.

    leads: as in Path, the forwarder's own included.
    """

    n: int
    forwarder: Forwarder
    number: E164
    called: Chain | None
    leads: tuple[HoldFund, ...] = ()


class Block(NamedTuple):
    """Pieces first … + size - 1, a member of a group each, whose order the store decides: as in Turn."""

    group_id: int
    first: int
    size: int
    is_circular: bool
    lines: tuple[tuple[str, ...], ...]
    total_s: int


class Walked(NamedTuple):
    """Where a destination led. entry: its first piece, -1 = nothing there can be asked, and reason says why.

    ends: pieces and edges that lead nowhere yet. account_id: who refuses, 0 = nobody in particular.
    """

    entry: int = -1
    ends: tuple[tuple[int, int], ...] = ()
    reason: str = ""
    account_id: int = 0
