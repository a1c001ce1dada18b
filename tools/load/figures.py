"""Figures out of calls: pure."""

from __future__ import annotations

from collections import Counter
from collections.abc import Collection, Iterable, Mapping, Sequence
from math import ceil
from typing import Any, Final, NamedTuple

from tools.load.calls import Call
from tools.load.spec import Party

QUANTILES: Final = {"p50": 0.5, "p95": 0.95, "p99": 0.99, "max": 1.0}


class Second(NamedTuple):
    """One second of a run. at: since its first call. Latencies in ms, of calls that began in it; 0 = of none."""

    at: int
    begun: int
    answered: int
    refused: int
    p50: float
    p95: float


class Sum(NamedTuple):
    """What a party's calls came to.

    well: came out as the scenario expects, with every message that was due. answered: talked, or are registered.
    refused: by status. unanswered: got no final answer. repeated: requests that had to be sent again. reached_cps:
    calls begun a second; answered_cps: of these, answered. setup_ms: until it rang, was answered or refused.
    """

    party: str
    calls: int
    well: int
    answered: int
    refused: dict[int, int]
    unanswered: int
    repeated: int
    reached_cps: float
    answered_cps: float
    setup_ms: dict[str, float]

    @property
    def success(self) -> float:
        """Return the share of calls that came out well."""
        return self.well / self.calls if self.calls else 0.0

    def as_dict(self) -> dict[str, Any]:
        """Return it for programs."""
        refused = {str(status): count for status, count in self.refused.items()}
        return {**self._asdict(), "refused": refused, "success": round(self.success, 5)}


def quantile(ordered: Sequence[float], share: float) -> float:
    """Return the smallest value that `share` of the values do not exceed (nearest rank), 0 of none."""
    return ordered[max(0, ceil(share * len(ordered)) - 1)] if ordered else 0.0


def quantiles(values: Iterable[float]) -> dict[str, float]:
    """Return p50, p95, p99 and max."""
    ordered = sorted(values)
    return {name: round(quantile(ordered, share), 2) for name, share in QUANTILES.items()}


def is_well(call: Call, party: Party) -> bool:
    """Tell whether a call came out as the scenario expects and was taken to its end."""
    return call.status in party.expected and call.closed


def total(name: str, calls: Collection[Call], parties: Mapping[str, Party]) -> Sum:
    """Return the sum of calls. parties: by name."""
    statuses = Counter(call.status for call in calls)
    refused = {status: count for status, count in sorted(statuses.items()) if status >= 300}  # noqa: PLR2004
    answered = sum(bool(call.answered) for call in calls)
    first = min((call.began for call in calls), default=0.0)
    span = max((call.began for call in calls), default=0.0) - first
    rate = (len(calls) - 1) / span if span else float(len(calls))
    return Sum(
        party=name,
        calls=len(calls),
        well=sum(is_well(call, parties[call.party]) for call in calls),
        answered=answered,
        refused=refused,
        unanswered=statuses[0],
        repeated=sum(call.repeats for call in calls),
        reached_cps=round(rate, 2),
        answered_cps=round(rate * answered / len(calls), 2) if calls else 0.0,
        setup_ms=quantiles(call.setup_ms for call in calls if call.heard),
    )


def sums(calls: Collection[Call], parties: Sequence[Party]) -> list[Sum]:
    """Return a sum for each party, and where there are several one of all of them at the end."""
    by_name = {party.name: party for party in parties}
    found = [total(name, [call for call in calls if call.party == name], by_name) for name in by_name]
    return [*found, total("all", calls, by_name)] if len(found) > 1 else found


def seconds(calls: Iterable[Call]) -> list[Second]:
    """Return the run second by second, those without a call too."""
    known = sorted(calls, key=lambda call: call.began)
    if not known:
        return []
    first = known[0].began
    slots: list[list[Call]] = [[] for _ in range(int(known[-1].began - first) + 1)]
    for call in known:
        slots[int(call.began - first)].append(call)
    return [_second(at, slot) for at, slot in enumerate(slots)]


def _second(at: int, calls: list[Call]) -> Second:
    ordered = sorted(call.setup_ms for call in calls if call.heard)
    answered = sum(bool(call.answered) for call in calls)
    refused = sum(call.status >= 300 for call in calls)  # noqa: PLR2004
    middle, high = (round(quantile(ordered, share), 2) for share in (0.5, 0.95))
    return Second(at, len(calls), answered, refused, middle, high)
