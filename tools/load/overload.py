"""How many calls a second are answered at most, and what is left of that when twice as many are offered.

The rate rises step by step until too small a share is answered; the most that was answered in any step is the peak.
"""

from __future__ import annotations

from collections.abc import Callable, Iterable
from pathlib import Path
from typing import Final, NamedTuple

from tools.load.calls import Call
from tools.load.run import Report, Stack, play
from tools.load.spec import RATE_MAX, Overload, Scenario, Wanted

IN_TIME_S: Final = 4.0
"""Who waits longer for an answer has hung up: such an answer is no good to anybody."""
TWICE: Final = 2.0
MORE_MAX: Final = 1.1
PLACED_MIN: Final = 0.9
"""A step in which fewer calls of those offered left SIPp measured SIPp, and not the router."""


class Step(NamedTuple):
    """One rate. offered, placed: calls a second. goodput: of these, answered in time, a second. p95_ms: set-up.

    emergency: calls for help; helped: how many of them were answered in time.
    """

    offered: float
    placed: float
    goodput: float
    p95_ms: float
    calls: int
    emergency: int = 0
    helped: int = 0


class Verdict(NamedTuple):
    """What came of it. kept: goodput at twice the peak, as a share of it; None = the peak was not found.

    told: a sentence. is_met: whether enough was kept, None where nothing can be said.
    """

    steps: tuple[Step, ...]
    peak: float
    twice: Step | None
    kept: float | None
    is_met: bool | None
    told: str


def goodput(calls: Iterable[Call], placed: float) -> float:
    """Return how many calls a second were answered in time. placed: calls begun a second."""
    known = list(calls)
    return placed * answered(known) / len(known) if known else 0.0


def answered(calls: Iterable[Call]) -> int:
    """Return how many calls were answered in time."""
    return sum(bool(call.answered) and call.answered - call.began <= IN_TIME_S for call in calls)


def is_beyond(step: Step, bounds: Overload) -> bool:
    """Tell whether a step was more than the router could do."""
    return step.goodput < bounds.answered * step.placed


def judge(steps: tuple[Step, ...], twice: Step | None, bounds: Overload) -> Verdict:
    """Return what the steps say. twice: the last one, None = it was not offered."""
    peak = max((step.goodput for step in steps), default=0.0)
    if twice is None or not peak:
        told = f"the peak was not found: {peak:.0f} calls a second are no limit yet; raise RATE or CALLS"
        return Verdict(steps, peak, twice, None, None, told)
    kept = twice.goodput / peak
    told = (
        f"peak {peak:.0f} calls a second; of {twice.offered:.0f} offered {twice.goodput:.0f} were answered in time: "
        f"{kept:.0%} of the peak, {bounds.kept:.0%} are wanted"
    )
    if twice.placed < PLACED_MIN * twice.offered:
        return Verdict(steps, peak, twice, kept, None, f"{told}; but SIPp placed only {twice.placed:.0f} a second")
    if kept > MORE_MAX:
        told = f"{told}; more than in any step before, so that was no peak: run it where nothing else runs"
        return Verdict(steps, peak, twice, kept, None, told)
    told += f"; {twice.helped} of {twice.emergency} calls for help were answered" if twice.emergency else ""
    return Verdict(steps, peak, twice, kept, kept >= bounds.kept and twice.helped == twice.emergency, told)


class Search:
    """The search on a stack. wanted: its first rate, and how many calls there may be in all."""

    def __init__(self, scenario: Scenario, stack: Stack, wanted: Wanted, folder: Path) -> None:
        """Take what is to be done."""
        self._scenario, self._stack, self._wanted, self._folder = scenario, stack, wanted, folder
        self._left = wanted.calls
        self.reports: list[Report] = []

    def run(self, bounds: Overload, say: Callable[[str], None]) -> Verdict:
        """Find the peak and offer twice as much. Raises OperatorError."""
        steps: list[Step] = []
        rate, twice = self._wanted.rate, None
        while (step := self._offer(rate, bounds.step_s, say)) is not None:
            steps.append(step)
            if is_beyond(step, bounds):
                peak = max(each.goodput for each in steps)
                twice = self._offer(min(RATE_MAX, TWICE * peak), TWICE * bounds.step_s, say) if peak else None
                break
            rate *= bounds.factor
        return judge(tuple(steps), twice, bounds)

    def _offer(self, rate: float, seconds: float, say: Callable[[str], None]) -> Step | None:
        """Offer one rate; None where no calls are left for it, or the rate is out of bounds."""
        calls = round(rate * seconds)
        if not 0 < calls <= self._left or rate > RATE_MAX:
            return None
        self._left -= calls
        seen: list[Call] = []
        wanted = Wanted(rate, calls, self._wanted.hold_s)
        folder = self._folder / f"{len(self.reports) + 1:02d}"
        report = play(
            self._scenario, self._stack, wanted, folder, lambda now: seen.__setitem__(slice(None), now.calls.values())
        )
        self.reports.append(report)
        sums, bounds = report.all, self._scenario.overload
        helped = [call for call in seen if bounds and call.party == bounds.emergency]
        good = goodput(seen, sums.reached_cps)
        step = Step(rate, sums.reached_cps, good, sums.setup_ms["p95"], len(seen), len(helped), answered(helped))
        say(
            f"{step.offered:.0f} a second offered: {step.goodput:.0f} answered in time, set-up p95 {step.p95_ms:.0f} ms"
        )
        return step
