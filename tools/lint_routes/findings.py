"""What lint-routes finds."""

from __future__ import annotations

from collections import Counter
from types import MappingProxyType
from typing import Final, NamedTuple

KINDS: Final = MappingProxyType(
    {
        "shadowed": "Rules that never count",
        "no_route": "Prefixes that are sold and have no eligible route",
        "dead_end": "Emergency and ported numbers that nobody takes",
        "negative_margin": "Prefixes that a level sells below what it pays",
        "rate_gap": "Prefixes that are sold or routed, and that a level has no price for",
        "ambiguous_source": "Sources of calls that do not stand for one caller",
        "expired": "Rows whose time is over",
    }
)
KEPT_MAX: Final = 1_000  # of a kind; the others are counted


class Finding(NamedTuple):
    """One thing that is wrong. where: the row or prefix; what: a sentence."""

    kind: str
    where: str
    what: str


class Findings:
    """What was found so far: all of it counted, of each kind the first thousand kept."""

    def __init__(self) -> None:
        """Start with nothing."""
        self.counts: Counter[str] = Counter()
        self._kept: dict[str, dict[Finding, None]] = {kind: {} for kind in KINDS}

    def add(self, finding: Finding) -> None:
        """Take a finding, once."""
        kept = self._kept[finding.kind]
        if finding in kept:
            return
        self.counts[finding.kind] += 1
        if len(kept) < KEPT_MAX:
            kept[finding] = None

    def of(self, kind: str) -> list[Finding]:
        """Return those kept of a kind, in the order in which they were found."""
        return list(self._kept[kind])
