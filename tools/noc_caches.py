"""How the workers' caches of the configuration do, for `tandem noc caches`: a line per process, and all together."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from typing import Any, Final

COLUMNS: Final = ("pid", "MiB", "of MiB", "records", "hit", "rates", "hit", "hits", "misses", "gone for room")
_MIB: Final = 1 << 20
_SUMMED: Final = (
    *("bytes", "bytes_max", "records", "rates", "evictions"),
    *("record_hits", "record_misses", "rate_hits", "rate_misses"),
)


def rows(caches: Sequence[Mapping[str, Any]]) -> list[tuple[str, ...]]:
    """Return a line per process, the busiest first, and one of the sums where there are several."""
    by_use = sorted(caches, key=lambda each: -each["record_hits"])
    lines = [_row(str(each["pid"]), each) for each in by_use]
    if len(caches) > 1:
        lines.append(_row("all", {name: sum(each[name] for each in caches) for name in _SUMMED}))
    return lines


def _row(who: str, counts: Mapping[str, Any]) -> tuple[str, ...]:
    hits, misses = counts["record_hits"] + counts["rate_hits"], counts["record_misses"] + counts["rate_misses"]
    return (
        who,
        f"{counts['bytes'] / _MIB:.1f}",
        f"{counts['bytes_max'] / _MIB:.0f}",
        str(counts["records"]),
        _rate(counts["record_hits"], counts["record_misses"]),
        str(counts["rates"]),
        _rate(counts["rate_hits"], counts["rate_misses"]),
        str(hits),
        str(misses),
        str(counts["evictions"]),
    )


def _rate(hits: int, misses: int) -> str:
    """Return the share of reads that were answered at once, "" before the first."""
    return f"{100 * hits / (hits + misses):.2f} %" if hits + misses else ""
