"""From rounds to figures: ratios by pair, medians, and the table that people read."""

from __future__ import annotations

import statistics
from collections.abc import Mapping, Sequence
from typing import Any, Final, NamedTuple

FLOOR, SQL, LUA, OURS = NAMES = ("floor", "sql", "lua", "tandem")
TITLES: Final = {
    FLOOR: "(a) digest and relay, nothing else",
    SQL: "(b) `kamailio.cfg` with Postgres",
    LUA: "(c) Lua with Redis",
    OURS: "(d) Tandem",
}
BEGIN: Final = "<!-- make bench: begin -->"
END: Final = "<!-- make bench: end -->"


class Round(NamedTuple):
    """One round of one router. cpu_us: per call, by group of processes. setup_ms: median. failed: calls."""

    cpu_us: Mapping[str, float]
    setup_ms: float
    failed: int

    @property
    def total_us(self) -> float:
        """Return CPU microseconds per call of all its processes."""
        return sum(self.cpu_us.values())


class Length(NamedTuple):
    """What was measured. calls: of one round of one router. rate: calls a second."""

    calls: int
    rounds: int
    rate: int
    lines: int
    talk_ms: int


Rounds = Mapping[str, Sequence[Round]]


def ratios(rounds: Rounds, other: str) -> list[float]:
    """Return our CPU per call as a multiple of the other's, round by round."""
    pairs = zip(rounds[OURS], rounds[other], strict=True)
    return [round(ours.total_us / theirs.total_us, 3) for ours, theirs in pairs]


def median_us(rounds: Sequence[Round]) -> float:
    """Return the median of what a call costs."""
    return round(statistics.median(each.total_us for each in rounds), 1)


def by_process(rounds: Sequence[Round]) -> dict[str, float]:
    """Return the median of each group of processes, the dearest first."""
    groups = {group for each in rounds for group in each.cpu_us}
    middle = {group: statistics.median(each.cpu_us.get(group, 0.0) for each in rounds) for group in groups}
    return {group: round(us, 1) for group, us in sorted(middle.items(), key=lambda each: -each[1])}


def figures(rounds: Rounds, max_cps: Mapping[str, int], length: Length) -> dict[str, Any]:
    """Return all figures, as they are printed last and kept."""
    added = [ours.setup_ms - floor.setup_ms for ours, floor in zip(rounds[OURS], rounds[FLOOR], strict=True)]
    return {
        "cpu_us": {name: median_us(rounds[name]) for name in NAMES},
        **{f"ratio_{name}": round(statistics.median(ratios(rounds, name)), 3) for name in (FLOOR, SQL, LUA)},
        "setup_added_ms": round(statistics.median(added), 3),
        "max_cps": {name: max_cps[name] for name in NAMES},
        "failed_calls": sum(each.failed for name in NAMES for each in rounds[name]),
        "calls": length.calls,
        "rounds": length.rounds,
        "rate": length.rate,
        "lines": length.lines,
        "talk_ms": length.talk_ms,
        "ratios": {name: ratios(rounds, name) for name in (FLOOR, SQL, LUA)},
        "setup_ms": {name: round(statistics.median(each.setup_ms for each in rounds[name]), 3) for name in NAMES},
        "cpu_us_rounds": {name: [round(each.total_us, 1) for each in rounds[name]] for name in NAMES},
        "cpu_us_processes": {name: by_process(rounds[name]) for name in NAMES},
        "failed": {name: sum(each.failed for each in rounds[name]) for name in NAMES},
    }


def table(found: Mapping[str, Any]) -> str:
    """Return the figures as a Markdown table, and the ratios below it."""
    head = "| | CPU µs a call | set-up ms | calls a second | failed |\n|---|---:|---:|---:|---:|"
    rows = [
        f"| {TITLES[name]} | {found['cpu_us'][name]:.0f} | {found['setup_ms'][name]:.2f}"
        f" | {found['max_cps'][name]} | {found['failed'][name]} |"
        for name in NAMES
    ]
    return "\n".join((head, *rows, "", sentence(found)))


def sentence(found: Mapping[str, Any]) -> str:
    """Return the ratios with their range over the rounds."""
    told = ", ".join(
        f"{found[f'ratio_{name}']:.2f} × {TITLES[name][:3]} ({min(each):.2f}–{max(each):.2f})"
        for name, each in found["ratios"].items()
    )
    return (
        f"Tandem's CPU per call is {told}, medians of {found['rounds']} rounds of {found['calls']} calls each at"
        f" {found['rate']}/s; it adds {found['setup_added_ms']:.2f} ms to the set-up of (a)."
    )


def between_marks(text: str, new: str) -> str:
    """Return a page with what stands between the two marks replaced. Raises ValueError without the marks."""
    before, begin, rest = text.partition(BEGIN)
    _, end, after = rest.partition(END)
    if not begin or not end:
        raise ValueError(f"{BEGIN} and {END} are not both there")
    return f"{before}{BEGIN}\n{new}\n{END}{after}"
