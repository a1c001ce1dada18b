"""Mixed traffic for a long time: rounds of one load scenario, with the memory of every process all along."""

from __future__ import annotations

import time
from collections.abc import Callable
from pathlib import Path
from typing import Any, Final, NamedTuple

from tools.load.kamcmd import Control
from tools.load.memory import Judged, Memory, Name
from tools.load.processes import Machine
from tools.load.run import Progress, Report, Stack, play
from tools.load.slope import Sample
from tools.load.spec import Scenario, Wanted

ROUND_S: Final = 300.0
SAMPLES: Final = 600  # about so many over the whole run
EVERY_MIN_S: Final = 1.0
EXPECTED: Final = 0.99


class Soak(NamedTuple):
    """What came of it. series: memory over time. leaks, faults: sentences; empty when all is well.

    is_judged: whether the run was long enough to tell a leak in any process.
    """

    seconds: float
    calls: int
    well: int
    judged: list[Judged]
    series: dict[Name, list[Sample]]
    leaks: list[str]
    faults: list[str]
    is_judged: bool

    def as_dict(self) -> dict[str, Any]:
        """Return it for programs, without the samples."""
        rows = [
            {**each.name._asdict(), "first": each.first, "last": each.last, **each.growth._asdict()}
            for each in self.judged
        ]
        return {
            "seconds": round(self.seconds, 1),
            "calls": self.calls,
            "well": self.well,
            "leaks": self.leaks,
            "faults": self.faults,
            "is_judged": self.is_judged,
            "memory": rows,
        }


def soak(
    scenario: Scenario,
    stack: Stack,
    minutes: float,
    rate: float,
    folder: Path,
    tell: Callable[[Progress], None],
) -> Soak:
    """Let the scenario's calls come at `rate` a second for so long. tell: told each round's progress.

    The world is there already. Raises OperatorError.
    """
    control, seconds = Control(stack.control), minutes * 60
    machine = Machine(stack.run_dir, control, max(EVERY_MIN_S, seconds / SAMPLES))
    memory = Memory(machine, control)
    before = control.processes()
    began, reports = time.monotonic(), list[Report]()

    def look(progress: Progress) -> None:
        memory.sample()
        tell(progress)

    while (left := seconds - (time.monotonic() - began)) > 0:
        wanted = Wanted(rate, max(1, round(rate * min(ROUND_S, left))), scenario.hold_s)
        reports.append(play(scenario, stack, wanted, folder / f"round-{len(reports) + 1}", look, machine))
    ran = time.monotonic() - began
    judged = memory.judged(ran)
    calls, well = sum(report.all.calls for report in reports), sum(report.all.well for report in reports)
    return Soak(
        seconds=ran,
        calls=calls,
        well=well,
        judged=judged,
        series=dict(memory.series),
        leaks=[*(each.told for each in judged if each.told), *_left(memory)],
        faults=[*_gone(before, control.processes()), *_findings(reports), *unexpected(calls, well)],
        is_judged=any(each.growth.is_judged for each in judged),
    )


def _left(memory: Memory) -> list[str]:
    return [f"table {name} still has {n} entries of calls that are over" for name, n in memory.left_behind().items()]


def _gone(before: dict[int, str], after: dict[int, str]) -> list[str]:
    return [f"{role} (pid {pid}) has ended during the run" for pid, role in before.items() if pid not in after]


def unexpected(calls: int, well: int) -> list[str]:
    """Tell of calls that did not end as the scenario expects. A machine that others use may lose one in a hundred."""
    return [f"{calls - well} of {calls} calls did not end as expected"] if well < EXPECTED * calls else []


def _findings(reports: list[Report]) -> list[str]:
    graves = (finding for report in reports for finding in report.findings if finding.is_grave)
    return [f"{finding.told}: {', '.join(finding.call_ids)}" for finding in graves]
