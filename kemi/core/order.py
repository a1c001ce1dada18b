"""In which order carriers are tried: the routing profile.

Rule 1: a profile is any sequence of prefix, priority, cost, quality and weight; each word decides where those before it
left a tie. Sipwise C5 = prefix, priority, weight; least cost = cost, priority, weight.
Rule 2: a candidate's place depends on itself alone, never on who else stands for election: adding a dearer carrier
changes nothing among the others.
Rule 3: the draw by weight is repeatable for a Call-ID, and nobody without the cell's secret can steer it.
"""

from __future__ import annotations

import hmac
import math
from collections.abc import Callable, Iterable, Mapping
from types import MappingProxyType
from typing import Final, NamedTuple

from kemi.core.draft import Draft
from kemi.records import PeeringGroup, PeeringRule, PeerServer, PinnedLeg

LEAST_COST: Final = ("cost", "priority", "weight")
"""The profile of a tenant that states none: a carrier's router sells minutes, so the cheapest comes first."""

COMPARED_S: Final = 60
"""Carriers are compared by the price of one minute, connect fee and increments included, not by a bare rate."""


class Candidate(NamedTuple):
    """A server that could take the call. cost: what it would cost its owner. rule: by which it was found.

    minute_micros: what one minute, begun now, costs in the deck's currency. compared_micros: the same in the currency
    that all candidates of the call are compared in.
    """

    rule: PeeringRule
    group: PeeringGroup
    server: PeerServer
    cost: PinnedLeg
    minute_micros: int
    compared_micros: int


Place = tuple[float, ...]
"""What one word of a profile makes of a candidate; smaller is better."""


def in_order(draft: Draft, candidates: Iterable[Candidate], profile: tuple[str, ...]) -> list[Candidate]:
    """Return the candidates, best first. The last tie goes to the lower server id.

    Words that no profile knows are passed over with a sentence.
    """
    words = [word for word in profile or LEAST_COST if word in _PLACES]
    for word in profile:
        if word not in _PLACES:
            draft.note(f"routing profile: {word} is unknown")
    return sorted(
        candidates,
        key=lambda candidate: (
            *(_PLACES[word](draft, candidate) for word in words),
            (candidate.server.id,),
        ),
    )


def draw(draft: Draft, server: PeerServer) -> float:
    """Return the server's ticket in this call's weighted draw; the lowest ticket wins.

    −ln(u) ÷ weight of a uniform u is exponential with that weight as its rate. So the lowest of several falls to each
    server in proportion to its weight, and the next lowest is a fair draw among the rest. A weight of 0 comes last.
    Source: Efraimidis and Spirakis, Weighted random sampling with a reservoir, 2006.
    """
    text = f"draw:{draft.call.call_id}:{server.id}".encode("utf-8", "surrogatepass")
    uniform = (int.from_bytes(hmac.digest(draft.facts.secret, text, "sha256")[:6], "big") + 1) / (1 << 48)
    return -math.log(uniform) / server.weight if server.weight > 0 else math.inf


def _prefix(_draft: Draft, candidate: Candidate) -> Place:
    return (-len(candidate.rule.callee_prefix),)


def _priority(_draft: Draft, candidate: Candidate) -> Place:
    return (candidate.group.priority,)


def _cost(_draft: Draft, candidate: Candidate) -> Place:
    return (candidate.compared_micros,)


def _quality(_draft: Draft, _candidate: Candidate) -> Place:
    """No measured quality reaches the workers yet: all carriers tie, and the next word decides."""
    return ()


def _weight(draft: Draft, candidate: Candidate) -> Place:
    return (draw(draft, candidate.server),)


_PLACES: Final[Mapping[str, Callable[[Draft, Candidate], Place]]] = MappingProxyType(
    {"prefix": _prefix, "priority": _priority, "cost": _cost, "quality": _quality, "weight": _weight}
)
