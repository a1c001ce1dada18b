"""From what was seen to figures: waits of changes, and set-ups of calls before and during a switch."""

from __future__ import annotations

import statistics
from collections.abc import Iterable, Sequence
from typing import Any, Final, NamedTuple

from tools.bench.sync_calls import Setup
from tools.bench.sync_stream import Streamed, waits_ms

WINDOW_S: Final = 5.0


class Switch(NamedTuple):
    """When prices changed: from the statement that closes the new set until Redis points to it.

    *_at: Unix seconds. *_ns: the machine's monotonic clock. seconds: from the commit on.
    """

    began_at: float
    ended_at: float
    began_ns: int
    ended_ns: int
    seconds: float


def waits_of(rounds: Iterable[tuple[Switch, Streamed]]) -> dict[str, Any]:
    """Return the waits of all changes, of those committed before the switch, and of those committed during it."""
    before: list[float] = []
    during: list[float] = []
    after: list[float] = []
    for switch, streamed in rounds:
        for committed_ns, wait_ms in waits_ms(streamed):
            where = before if committed_ns < switch.began_ns else during if committed_ns < switch.ended_ns else after
            where.append(wait_ms)
    return {
        **_waits("visible", before + during + after),
        **_waits("visible_steady", before),
        **_waits("visible_switch", during),
    }


def changes_of(streams: Sequence[Streamed]) -> dict[str, Any]:
    """Return how many transactions were committed, how many a second, and how many changes were never seen."""
    changes = [[change.committed_ns for change in streamed.changes] for streamed in streams]
    seconds = sum((max(each) - min(each)) / 1e9 for each in changes if each)
    transactions = sum(streamed.transactions for streamed in streams)
    unseen = sum(len(streamed.changes) - len(waits_ms(streamed)) for streamed in streams)
    return {
        "transactions": transactions,
        "transactions_per_s": round(transactions / seconds) if seconds else 0,
        "changes_unseen": unseen,
    }


def p99_ratio(rounds: Sequence[tuple[Switch, Sequence[Setup], float]]) -> dict[str, Any]:
    """Return the ratio of set-up times during switches and before them. rounds: each with its seconds before."""
    before: list[float] = []
    during: list[float] = []
    seen = 0
    for switch, setups, before_s in rounds:
        timed = [(setup.at, setup.ms) for setup in setups if setup.ms is not None]
        before += _p99s(timed, switch.began_at - before_s, switch.began_at)
        during += _p99s(timed, switch.began_at, switch.ended_at)
        seen += len(setups)
    base, switching = (statistics.median(each) if each else 0.0 for each in (before, during))
    return {
        "setup_p99_ratio": round(switching / base, 3) if base else 0.0,
        "setup_p99_before_ms": round(base, 2),
        "setup_p99_switch_ms": round(switching, 2),
        "windows": len(during),
        "calls": seen,
    }


def _p99s(timed: Sequence[tuple[float, float]], first: float, last: float) -> list[float]:
    """Return the 99th percentile of each of the equal windows, at most 5 s long, between two moments."""
    count = max(1, -int(-(last - first) // WINDOW_S))
    length = (last - first) / count
    windows: list[list[float]] = [[] for _ in range(count)]
    for at, ms in timed:
        if first <= at < last:
            windows[min(count - 1, int((at - first) / length))].append(ms)
    return [_percentile(window, 99) for window in windows if window]


def _waits(name: str, waits: list[float]) -> dict[str, Any]:
    if not waits:
        return {f"{name}_p50_ms": 0.0, f"{name}_p99_ms": 0.0, f"{name}_max_ms": 0.0}
    return {
        f"{name}_p50_ms": round(_percentile(waits, 50), 2),
        f"{name}_p99_ms": round(_percentile(waits, 99), 2),
        f"{name}_max_ms": round(max(waits), 2),
    }


def _percentile(values: Sequence[float], percent: int) -> float:
    """Return the value that `percent` % of `values` do not exceed."""
    ordered = sorted(values)
    return ordered[min(len(ordered) - 1, len(ordered) * percent // 100)]
