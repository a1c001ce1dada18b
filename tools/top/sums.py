"""What several nodes tell, added up."""

from __future__ import annotations

from collections import Counter
from collections.abc import Mapping, Sequence
from dataclasses import dataclass, field
from typing import Any, NamedTuple

from tools.top.answers import Node


@dataclass
class Carrier:
    """A carrier's server on all nodes. pdd_ms: mean, by attempts; None = unknown. is_down: some node passes it over."""

    server_id: int
    attempts: int = 0
    answers: int = 0
    running: int = 0
    pdd_ms: float | None = None
    failures: Counter[str] = field(default_factory=Counter)
    is_down: bool = False

    def add(self, row: Mapping[str, Any]) -> None:
        """Add what one node tells of it."""
        attempts, pdd_ms = int(row["attempts"]), row.get("pdd_ms")
        if pdd_ms is not None and attempts:
            before = (self.pdd_ms or 0.0) * self.attempts
            self.pdd_ms = (before + pdd_ms * attempts) / (self.attempts + attempts)
        self.attempts += attempts
        self.answers += int(row["answers"])
        self.running += int(row.get("running", 0))
        self.failures.update({str(code): int(count) for code, count in row.get("failures", {}).items()})


class Source(NamedTuple):
    """Where refused calls came from. reason: the most frequent one, of the node that refused most of them."""

    address: str
    calls: int
    reason: str


@dataclass
class Sums:
    """All of it. cps: None = no node can tell. listed: calls with the name of their node."""

    calls: int = 0
    talking: int = 0
    cps: float | None = None
    carriers: dict[int, Carrier] = field(default_factory=dict)
    reasons: Counter[str] = field(default_factory=Counter)
    sources: dict[str, Source] = field(default_factory=dict)
    listed: list[tuple[str, Mapping[str, Any]]] = field(default_factory=list)


def added(nodes: Sequence[Node]) -> Sums:
    """Return the sums of all nodes that answer."""
    sums = Sums()
    for node in nodes:
        if node.is_asked and not node.gone:
            _add(sums, node)
    return sums


def _add(sums: Sums, node: Node) -> None:
    agent, answers = node.status.get("agent") or {}, node.answers
    sums.calls += int(agent.get("calls", 0))
    sums.talking += int(agent.get("talking", 0))
    if (cps := answers.get("traffic", {}).get("cps")) is not None:
        sums.cps = (sums.cps or 0.0) + float(cps)
    for row in answers.get("carriers", {}).get("carriers", ()):
        sums.carriers.setdefault(int(row["server_id"]), Carrier(int(row["server_id"]))).add(row)
    for name in node.status.get("down_servers", ()):
        sums.carriers.setdefault(int(name), Carrier(int(name))).is_down = True
    for row in answers.get("refusals", {}).get("reasons", ()):
        sums.reasons[str(row["reason"])] += int(row["count"])
    for row in answers.get("refusals", {}).get("sources", ()):
        _add_source(sums, Source(str(row["address"]), int(row["count"]), str(row.get("reason", ""))))
    # A call that ended while the node wrote its list is null there.
    sums.listed += [(node.name, call) for call in answers.get("calls", {}).get("calls", ()) if call is not None]


def _add_source(sums: Sums, told: Source) -> None:
    known = sums.sources.get(told.address, Source(told.address, 0, ""))
    most = told if told.calls > known.calls else known
    sums.sources[told.address] = Source(told.address, known.calls + told.calls, most.reason)
