"""Memory over time, and whether it leaks: of every process of a node, and of sync and settle beside it."""

from __future__ import annotations

from collections.abc import Mapping
from contextlib import suppress
from typing import Final, NamedTuple

from tools.load.kamcmd import Control
from tools.load.processes import Machine
from tools.load.slope import Growth, Sample, growth
from tools.wait import DeadlineError, until

MIB: Final = 1 << 20
WARM_SHARE: Final = 0.25
WARM_MIN_S, WARM_MAX_S = 15.0, 600.0
SHARED_WARM_S: Final = 3_700.0
"""Nonces live in shared memory for an hour: before that it grows with every challenge."""
OWN, PACKAGE, SHARED, BLOCKS = "own memory", "pkg", "shared memory", "Python blocks"
FLOORS: Final[Mapping[str, float]] = {OWN: 2 * MIB, PACKAGE: MIB / 4, SHARED: 2 * MIB, BLOCKS: 20_000}
"""Growth over a whole run that is none: an arena of Python is a MiB, and so is what a cache takes at its next step."""
JUDGED: Final = ("kamailio", "sync", "settle")
CLEAR_S: Final = 10.0
CALL_TABLES: Final = ("calls", "sides", "busy", "media", "unheld")


class Name(NamedTuple):
    """One series. kind: OWN, PACKAGE, SHARED or BLOCKS. who: what the process does. pid: 0 = of the node."""

    kind: str
    who: str
    pid: int

    def __str__(self) -> str:
        """Return it for people."""
        return f"{self.kind} of {self.who} (pid {self.pid})" if self.pid else f"{self.kind} of the node"


class Judged(NamedTuple):
    """A series and what it does. told: "" unless it is a leak."""

    name: Name
    first: float
    last: float
    growth: Growth
    told: str


class Memory:
    """Samples of memory, beside those of `machine`."""

    def __init__(self, machine: Machine, control: Control) -> None:
        """Take who is asked."""
        self._machine, self._control = machine, control
        self._series: dict[Name, list[Sample]] = {}
        self._at = 0
        self.tables_before = control.tables()

    def sample(self) -> None:
        """Take what is new in the machine's samples, and ask the node for its own figures if there is any."""
        new = self._machine.samples[self._at :]
        self._at += len(new)
        for at, uses in new:
            for use in uses:
                if use.name.startswith(JUDGED):
                    self._add(Name(OWN, use.name, use.pid), at, use.bytes)
        if new:
            at, who = new[-1][0], {use.pid: use.name for use in new[-1][1]}
            for kind, values in ((PACKAGE, self._control.package()), (BLOCKS, self._control.blocks())):
                for pid, value in values.items():
                    self._add(Name(kind, who.get(pid, "kamailio"), pid), at, value)
            self._add(Name(SHARED, "kamailio", 0), at, self._control.shared().used)

    def _add(self, name: Name, at: float, value: float) -> None:
        self._series.setdefault(name, []).append(Sample(at, value))

    @property
    def series(self) -> Mapping[Name, list[Sample]]:
        """Return all samples by name."""
        return self._series

    def judged(self, seconds: float) -> list[Judged]:
        """Return what each series does. seconds: how long the run was."""
        return [judge(name, series, seconds) for name, series in self._series.items()]

    def left_behind(self) -> dict[str, int]:
        """Return the tables of calls that still have more entries than before some seconds after the last call."""
        left: dict[str, int] = {}

        def is_clear() -> bool:
            now = self._control.tables()
            left.clear()
            left.update({name: now[name] for name in CALL_TABLES if now.get(name, 0) > self.tables_before.get(name, 0)})
            return not left

        with suppress(DeadlineError):
            until(is_clear, CLEAR_S, "the tables of calls to be empty")
        return left


def warm_s(kind: str, seconds: float) -> float:
    """Return how long a series is left out at its start: caches fill, pools are allocated."""
    return SHARED_WARM_S if kind == SHARED else min(WARM_MAX_S, max(WARM_MIN_S, WARM_SHARE * seconds))


def judge(name: Name, series: list[Sample], seconds: float) -> Judged:
    """Return what one series does. seconds: how long the run was."""
    found = growth(series, warm_s(name.kind, seconds), FLOORS[name.kind])
    told = ""
    if found.is_leak:
        told = (
            f"{name} leaks: it grew by {amount(name.kind, found.grown)} after the warm-up, steadily in both halves, "
            f"{amount(name.kind, found.per_hour)} an hour"
        )
    return Judged(name, series[0].value, series[-1].value, found, told)


def amount(kind: str, value: float) -> str:
    """Return a value as people read it."""
    return f"{value:,.0f}" if kind == BLOCKS else f"{value / MIB:.1f} MiB"
