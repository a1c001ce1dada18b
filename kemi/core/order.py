"""In which order carriers are tried: the routing profile.

Rule 1: a profile is any sequence of prefix, priority, cost, quality, share and weight; each word decides where those
before it left a tie. Sipwise C5 = prefix, priority, weight; least cost = cost, priority, weight.
Rule 2: a candidate's place depends on itself alone, never on who else stands for election: adding a dearer carrier
changes nothing among the others. Only who has not had enough calls to be judged is placed by quality amid those that
are: by the median of the carriers of this call that are tied with it.
Rule 3: the draws by share and by weight are repeatable for a Call-ID, and nobody without the cell's secret can steer
them. Nothing is drawn where one word before it has told all apart.
"""

from __future__ import annotations

import math
from collections.abc import Callable, Mapping
from types import MappingProxyType
from typing import Final

from kemi.core.draft import Draft
from kemi.core.outcome import Candidate
from kemi.records import PeeringGroup, PeerServer, TrunkPlace

LEAST_COST: Final = ("cost", "priority", "weight")
"""The profile of a tenant that states none: a carrier's router sells minutes, so the cheapest comes first."""


# The constants of SplitMix64; all of it is arithmetic modulo 2^64.
_GAMMA: Final = 0x9E3779B97F4A7C15
_FIRST: Final = 0xBF58476D1CE4E5B9
_SECOND: Final = 0x94D049BB133111EB
_MASK: Final = (1 << 64) - 1

Place = float
"""What one word of a profile makes of a candidate; smaller is better."""

Candidates = list[Candidate]


def in_order(draft: Draft, candidates: Candidates, profile: tuple[str, ...]) -> Candidates:
    """Return the candidates, best first. The last tie goes to the lower server id.

    Words that no profile knows are passed over with a sentence.
    """
    words = [word for word in profile or LEAST_COST if word in _WORDS]
    for word in profile:
        if word not in _WORDS:
            draft.note(f"routing profile: {word} is unknown")
    first = [candidate for candidate in candidates if candidate.is_first]
    others = [candidate for candidate in candidates if not candidate.is_first] if len(first) < len(candidates) else []
    return [*_ranked(draft, first, words), *_ranked(draft, others, words)]


def draw(draft: Draft, server: PeerServer) -> float:
    """Return the server's ticket in this call's draw by weight; the lowest ticket wins."""
    return _ticket(draft.seeds.servers, server.id, server.weight)


def draw_group(draft: Draft, group: PeeringGroup) -> float:
    """Return the ticket of a group, and so of all its servers, in this call's draw by share; the lowest one wins."""
    return _ticket(draft.seeds.groups, group.id, group.share)


def draw_place(draft: Draft, place: TrunkPlace) -> float:
    """Return the ticket of a trunk's place in this call's draw by weight; the lowest one wins."""
    return _ticket(draft.seeds.servers, place.id, place.weight)


def draw_member(draft: Draft, number: int) -> float:
    """Return the ticket of a member of a group in this call's draw among equals. number: another one for each."""
    return _ticket(draft.seeds.groups, number, 1)


def _ticket(seed: int, number: int, weight: int) -> float:
    """Return −ln(u) ÷ weight of a uniform u that only the call's seed and the number of who draws decide.

    It is exponential with that weight as its rate. So the lowest of several falls to each in proportion to its weight,
    and the next lowest is a fair draw among the rest. A weight of 0 comes last.
    u is what SplitMix64, begun at the seed, gives as its `number`-th value: nobody sees more of it than an order, so a
    hash for each server, at twice the time, would keep the seed no better.
    Source: Efraimidis and Spirakis, Weighted random sampling with a reservoir, 2006; Steele, Lea and Flood, Fast
    splittable pseudorandom number generators, 2014.
    """
    if weight <= 0:
        return math.inf
    mixed = (seed + number * _GAMMA) & _MASK
    mixed = ((mixed ^ mixed >> 30) * _FIRST) & _MASK
    mixed = ((mixed ^ mixed >> 27) * _SECOND) & _MASK
    return -math.log(((mixed ^ mixed >> 31) + 1) / (1 << 64)) / weight


def _ranked(draft: Draft, tied: Candidates, words: list[str]) -> Candidates:
    """Return the candidates ranked by all words at once: one sort costs less than one for each tie that a word left."""
    if len(tied) < 2:  # noqa: PLR2004  one alone is in order
        return tied
    columns: list[list[Place]] = []
    for word in words:
        if word in _DRAWN and any(len(set(column)) == len(tied) for column in columns):
            break
        if word == "quality" and len(set(zip(*columns, strict=True))) == len(tied):
            break  # it is read only where it has a say: whatever was read makes a hold stale when it changes
        columns.append(_quality(draft, tied, columns) if word == "quality" else _PLACES[word](draft, tied))
    columns.append([candidate.server.id for candidate in tied])
    return [tied[at] for *_, at in sorted(zip(*columns, range(len(tied)), strict=True))]


def _prefix(_draft: Draft, tied: Candidates) -> list[Place]:
    return [-len(candidate.rule.callee_prefix) for candidate in tied]


def _priority(_draft: Draft, tied: Candidates) -> list[Place]:
    return [candidate.group.priority for candidate in tied]


def _cost(_draft: Draft, tied: Candidates) -> list[Place]:
    return [candidate.compared_micros for candidate in tied]


def _quality(draft: Draft, candidates: Candidates, columns: list[list[Place]]) -> list[Place]:
    """Rank by what was measured. Who has not had enough calls to be judged gets the median of those that were.

    columns: what the words before say. Only who is tied by them is compared. The better one of two medians counts:
    where a few are judged, the others have to get calls, too. Carriers that are no candidates have no say.
    """
    quality = draft.known.quality()
    wanted = {candidate.server.id for candidate in candidates}
    measured = {
        each.server_id: (-each.asr_pct, -each.acd_s, each.pdd_ms)
        for each in (quality.servers if quality else ())
        if each.server_id in wanted
    }
    places = {values: place for place, values in enumerate(sorted(set(measured.values())))}
    ties = list(zip(*columns, strict=True)) if columns else [()] * len(candidates)
    judged: dict[tuple[Place, ...], list[int]] = {}
    for tie, candidate in zip(ties, candidates, strict=True):
        if candidate.server.id in measured:
            judged.setdefault(tie, []).append(places[measured[candidate.server.id]])
    medians = {tie: sorted(of_tie)[(len(of_tie) - 1) // 2] for tie, of_tie in judged.items()}
    return [
        places[measured[candidate.server.id]] if candidate.server.id in measured else medians.get(tie, 0)
        for tie, candidate in zip(ties, candidates, strict=True)
    ]


def _share(draft: Draft, tied: Candidates) -> list[Place]:
    groups = {candidate.group.id: candidate.group for candidate in tied}
    tickets = {group_id: draw_group(draft, group) for group_id, group in groups.items()}
    return [tickets[candidate.group.id] for candidate in tied]


def _weight(draft: Draft, tied: Candidates) -> list[Place]:
    seed = draft.seeds.servers
    return [_ticket(seed, candidate.server.id, candidate.server.weight) for candidate in tied]


_PLACES: Final[Mapping[str, Callable[[Draft, Candidates], list[Place]]]] = MappingProxyType(
    {
        "prefix": _prefix,
        "priority": _priority,
        "cost": _cost,
        "share": _share,
        "weight": _weight,
    }
)

_WORDS: Final = frozenset((*_PLACES, "quality"))

_DRAWN: Final = frozenset({"share", "weight"})
