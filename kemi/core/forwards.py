"""Which forwards of a line or a user hold for a call, and who leads it on.

Rule 1: of one kind the first whose conditions hold counts, of time-outs the shortest.
Rule 2: who leads a call on is told in Diversion (RFC 5806), and pays for it where it costs anything.
"""

from __future__ import annotations

from collections.abc import Mapping
from types import MappingProxyType
from typing import Final, NamedTuple

from kemi.core.asserted import HEADER_MAX, parties
from kemi.core.barring import known_as
from kemi.core.caller_id import CallerId
from kemi.core.chains import Chain
from kemi.core.draft import Draft
from kemi.core.pattern import fitting_mask
from kemi.core.request import CallRequest
from kemi.core.time_sets import holds_now
from kemi.records import Forward, Subscriber

FORWARDS_MAX: Final = 5  # that a call may have behind it, here and before it came here
REASONS: Final[Mapping[str, str]] = MappingProxyType(
    {
        "always": "unconditional",
        "busy": "user-busy",
        "no_answer": "no-answer",
        "timeout": "no-answer",
        "unreachable": "unavailable",
    }
)
"""Kind of a forward -> why a call was diverted: RFC 5806 §4.1."""


class Forwarder(NamedTuple):
    """Who leads a call on: a line, a user, a group, a callflow or a number of ours.

    name: as sentences name it. chain: the accounts above, which pay. subscriber: the line, None for all others.
    number, host: of the URI that a Diversion tells, number "" = none is told. counted: funds of a line or user that
    count what it leads on among its calls, however often that is led on further.
    """

    name: str
    chain: Chain
    subscriber: Subscriber | None = None
    number: str = ""
    host: str = ""
    counted: tuple[str, ...] = ()


class Chosen(NamedTuple):
    """The forwards that hold for a call. ring_s: how long it rings before no_answer, 0 = the node's time."""

    always: Forward | None = None
    busy: Forward | None = None
    no_answer: Forward | None = None
    unreachable: Forward | None = None
    ring_s: int = 0


def chosen(draft: Draft, forwards: tuple[Forward, ...], shown: CallerId, ring_s: int) -> Chosen:
    """Return which of the forwards hold now and for this caller. ring_s: how long it would ring without a time-out."""
    if not forwards:
        return Chosen(ring_s=ring_s)
    found: dict[str, Forward] = {}
    for forward in forwards:
        before = found.get(forward.kind)
        is_sooner = before is not None and forward.kind == "timeout" and forward.after_s < before.after_s
        if (before is None or is_sooner) and _holds(draft, forward, shown):
            found[forward.kind] = forward
    no_answer, timeout = found.get("no_answer"), found.get("timeout")
    if timeout is not None and (no_answer is None or not ring_s or timeout.after_s <= ring_s):
        no_answer, ring_s = timeout, max(1, timeout.after_s)
    return Chosen(found.get("always"), found.get("busy"), no_answer, found.get("unreachable"), ring_s)


def is_among(callers: tuple[str, ...], shown: CallerId) -> bool:
    """Tell whether a caller is one of those that a list names; () = all are."""
    return not callers or fitting_mask(callers, known_as(shown)) is not None


def diverted_before(call: CallRequest) -> int:
    """Return how often a call says that it was led on before it came here; one that says too much, too often.

    A Diversion stands for as many as its counter says (RFC 5806 §4), an entry of History-Info for one where it says
    why (RFC 4458).
    """
    if max(len(call.diversion), len(call.history)) >= HEADER_MAX:
        return FORWARDS_MAX + 1
    told = sum(max(1, party.counter) for party in parties(call.diversion))
    return max(told, call.history.lower().count("cause="))


def _holds(draft: Draft, forward: Forward, shown: CallerId) -> bool:
    return is_among(forward.callers, shown) and holds_now(draft, forward.time_set_id)
