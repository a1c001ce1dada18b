"""What each process of the stack, and SIPp beside it, uses: CPU from the scheduler, memory that is its own."""

from __future__ import annotations

import re
import time
from collections.abc import Iterable, Iterator, Mapping
from contextlib import suppress
from pathlib import Path
from typing import Any, Final, NamedTuple

from tools.load.kamcmd import Control
from tools.stack import state
from tools.stack.process import PROC

AGAIN_S: Final = 10.0  # how often it is asked anew who there is: backends of Postgres come and go
SIPP: Final = "sipp"
_KAMAILIO: Final = "kamailio"
_ANON: Final = re.compile(r"^RssAnon:\s+(\d+) kB$", re.MULTILINE)


class Use(NamedTuple):
    """One process at a moment. cpu_s: since its start. bytes: resident memory that it shares with nobody."""

    name: str
    pid: int
    cpu_s: float
    bytes: int


class Row(NamedTuple):
    """Processes of one name over a run. cpu_percent: of one core. us_a_call: of CPU. bytes: first, most, last."""

    name: str
    processes: int
    cpu_s: float
    cpu_percent: float
    us_a_call: float
    bytes_first: int
    bytes_most: int
    bytes_last: int


class Machine:
    """Samples of all processes."""

    def __init__(self, run_dir: Path, control: Control, every_s: float = 1.0) -> None:
        """Take the run directory of the stack, the control socket of its node, and how often a sample is due."""
        self._state, self._control, self._every_s = run_dir / "state.json", control, every_s
        self._names: dict[int, str] = {}
        self._asked = 0.0
        self.sipps: tuple[int, ...] = ()
        self.samples: list[tuple[float, tuple[Use, ...]]] = []

    def sample(self, *, is_due: bool = False) -> None:
        """Take a sample if it is time for one. is_due: now, whenever the last one was."""
        now = time.time()
        if not is_due and self.samples and now - self.samples[-1][0] < self._every_s:
            return
        if now - self._asked > AGAIN_S:
            self._names, self._asked = self._who(), now
        named = {**self._names, **dict.fromkeys(self.sipps, SIPP)}
        self.samples.append((now, tuple(use for pid, name in named.items() if (use := _use(pid, name)))))

    def _who(self) -> dict[int, str]:
        found = state.read(self._state)
        parts = {row.who.pid: row.name for row in found.processes if row.who} if found else {}
        names = {pid: name for first, name in parts.items() for pid in _tree(first)}
        return {**names, **{pid: f"{_KAMAILIO}: {role}" for pid, role in self._control.processes().items()}}


def rows(samples: Iterable[tuple[float, tuple[Use, ...]]], calls: int) -> list[Row]:
    """Return what the processes of each name used between the first and the last sample, the busiest first."""
    known = list(samples)
    span = known[-1][0] - known[0][0] if known else 0.0
    cpu: dict[str, float] = {}
    before: dict[int, float] = {use.pid: use.cpu_s for use in known[0][1]} if known else {}
    for _, uses in known:
        for use in uses:
            cpu[use.name] = cpu.get(use.name, 0.0) + use.cpu_s - before.get(use.pid, 0.0)
            before[use.pid] = use.cpu_s
    memory = [_by_name(uses) for _, uses in known]
    found = [
        Row(
            name=name,
            processes=max(sum(use.name == name for use in uses) for _, uses in known),
            cpu_s=round(used, 3),
            cpu_percent=round(100 * used / span, 1) if span else 0.0,
            us_a_call=round(used * 1e6 / calls, 1) if calls else 0.0,
            bytes_first=next((sizes[name] for sizes in memory if name in sizes), 0),
            bytes_most=max(sizes.get(name, 0) for sizes in memory),
            bytes_last=next((sizes[name] for sizes in reversed(memory) if name in sizes), 0),
        )
        for name, used in cpu.items()
    ]
    return sorted(found, key=lambda row: -row.cpu_s)


def _by_name(uses: Iterable[Use]) -> Mapping[str, int]:
    sizes: dict[str, int] = {}
    for use in uses:
        sizes[use.name] = sizes.get(use.name, 0) + use.bytes
    return sizes


def _tree(pid: int) -> Iterator[int]:
    yield pid
    with suppress(OSError):
        for child in (PROC / str(pid) / "task" / str(pid) / "children").read_text().split():
            yield from _tree(int(child))


def _use(pid: int, name: str) -> Use | None:
    with suppress(OSError, ValueError, IndexError):
        cpu_s = int((PROC / str(pid) / "schedstat").read_text().split()[0]) / 1e9
        found: Any = _ANON.search((PROC / str(pid) / "status").read_text())
        return Use(name, pid, cpu_s, int(found[1]) * 1024 if found else 0)
    return None
