"""How a node is, for `tandem noc status`: its agent, its configuration, and its processes, those alike in one line.

A generation of the configuration is (fence << 32) | pass; people read it as `fence.pass`, `--json` has the number.
"""

from __future__ import annotations

from collections.abc import Iterable, Mapping, Sequence
from typing import Any, Final

PASS_BITS: Final = 32
COLUMNS: Final = ("processes", "code", "configuration", "cache answers")
OTHERS: Final = "others"
_PASS: Final = (1 << PASS_BITS) - 1
Rows = Sequence[Mapping[str, Any]]


def agent(answer: Mapping[str, Any]) -> dict[str, Any]:
    """Return what to show of the agent and of the node as a whole, by name."""
    rows = dict(answer["agent"] or {"agent": "has not spoken yet"})
    if "generation" in rows:
        rows["generation"] = f"{short(rows['generation'])}, as a number {rows['generation']}"
    breakers = sorted({str(each["breaker"]) for each in answer["processes"] if each.get("breaker")})
    if breakers:
        rows["breaker"] = ", ".join(breakers)
    rows["draining"] = answer["draining"]
    rows["servers passed over"] = ", ".join(answer["down_servers"]) or "none"
    return rows


def processes(rows: Rows, newest: int) -> list[dict[str, str]]:
    """Return a row for all processes that are alike, in COLUMNS. newest: the generation that the agent has seen."""
    groups: dict[tuple[str, str, bool], list[Mapping[str, Any]]] = {}
    for row in rows:
        key = (str(row.get("code")), _seen(row.get("generation"), newest), row.get("rank", 0) > 0)
        groups.setdefault(key, []).append(row)
    return [
        dict(zip(COLUMNS, (_who(each, is_worker=is_worker), code, seen, _hits(each)), strict=True))
        for (code, seen, is_worker), each in groups.items()
    ]


def errors(rows: Rows, unix_ms: int) -> list[str]:
    """Return the last error of each process that had one, a sentence each, the newest first. unix_ms: now."""
    had = sorted((row for row in rows if row.get("last_error")), key=lambda row: -(row.get("last_error_ms") or 0))
    return [
        f"last error of pid {row['pid']}, {_ago(unix_ms - (row.get('last_error_ms') or 0))}: {row['last_error']}"
        for row in had
    ]


def short(generation: int) -> str:
    """Return a generation as people read it."""
    return f"{generation >> PASS_BITS}.{generation & _PASS}"


def _seen(generation: int | None, newest: int) -> str:
    """Return how far behind a process is; it looks when it has a call."""
    if generation is None:
        return "no call yet"
    behind = newest - generation
    if behind <= 0:
        return "newest"
    return f"{behind} behind" if newest >> PASS_BITS == generation >> PASS_BITS else short(generation)


def _who(rows: Rows, *, is_worker: bool) -> str:
    ranks = sorted(row["rank"] for row in rows) if is_worker else []
    return f"workers {', '.join(_ranges(ranks))}" if ranks else f"{len(rows)} {OTHERS}"


def _ranges(numbers: Iterable[int]) -> list[str]:
    """Return sorted numbers with those in a row as one: 1–8."""
    found: list[list[int]] = []
    for number in numbers:
        if found and number == found[-1][1] + 1:
            found[-1][1] = number
        else:
            found.append([number, number])
    return [str(first) if first == last else f"{first}–{last}" for first, last in found]


def _hits(rows: Rows) -> str:
    """Return the least and the greatest share of reads that their caches answered."""
    rates = [row["hit_rate"] for row in rows if row.get("hit_rate") is not None]
    if not rates:
        return ""
    least, most = f"{100 * min(rates):.1f}", f"{100 * max(rates):.1f}"
    return f"{least} %" if least == most else f"{least}–{most} %"


def _ago(ms: int) -> str:
    seconds = max(0, ms // 1_000)
    return f"{seconds} s ago" if seconds < 600 else f"{seconds // 60} min ago"  # noqa: PLR2004  ten minutes
