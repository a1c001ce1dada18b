"""Rounds of calls in turn through all routers, and how many calls a second each can take."""

from __future__ import annotations

import time
from collections.abc import Callable, Iterator, Sequence
from contextlib import ExitStack, contextmanager, suppress
from pathlib import Path
from typing import Final, NamedTuple

from tools.bench.calls import cpu
from tools.bench.calls.figures import Length, Round
from tools.bench.calls.ours import Tandem
from tools.bench.calls.phones import Placed, Traffic, place
from tools.bench.calls.profile import report, watched
from tools.bench.calls.router import Router
from tools.wait import DeadlineError, until

BOOKED_S: Final = 60.0
WARM_CALLS: Final = 200
"""Before each round, uncounted: a router that stood still first finds its memory and its clocks again."""
WARM_FIRST: Final = 2_000
"""Before the first round, where the round itself is as long: each worker of ours learns each line."""
CALM_S: Final = 2.0
"""After a stand-still, before any call: timers that are overdue all fire then."""
STEP: Final = 1.25
FAILED_MOST: Final = 0.001
RATE_LEAST: Final = 0.95
"""Of the rate that was asked for, what must have come about: SIPp may be the one that cannot."""

Say = Callable[[str], None]


class Climb(NamedTuple):
    """How to look for the highest rate. steps: at most so many, each higher. step_s: how long each lasts."""

    steps: int
    step_s: float
    from_rate: int


@contextmanager
def started(routers: Sequence[Router], say: Say) -> Iterator[None]:
    """Start all routers, each standing still as soon as it serves; end all of them with the block."""
    with ExitStack() as stack:
        for router in routers:
            say(f"{router.name}: starting")
            stack.callback(router.stop)
            router.start()
            router.freeze()
        yield


def rounds(routers: Sequence[Router], length: Length, folder: Path, say: Say) -> dict[str, list[Round]]:
    """Measure each router in each round; who comes first changes from round to round."""
    found: dict[str, list[Round]] = {router.name: [] for router in routers}
    for number in range(1, length.rounds + 1):
        first = number % len(routers)
        for router in (*routers[first:], *routers[:first]):
            warm = min(length.calls, WARM_FIRST if number == 1 else WARM_CALLS)
            with awake(router):
                _calls(router, _traffic(length, f"w{number}", warm), folder)
                one = _round(router, _traffic(length, f"r{number}", length.calls), folder)
            found[router.name].append(one)
            say(
                f"round {number} of {length.rounds}, {router.name}: {one.total_us:.0f} us a call,"
                f" set-up {one.setup_ms:.2f} ms, {one.failed} failed"
            )
    return found


def highest(router: Router, climb: Climb, length: Length, folder: Path, say: Say) -> int:
    """Return the highest rate that a router took with hardly a failure, 0 when it was none of those tried."""
    reached, rate = 0, float(climb.from_rate)
    for number in range(1, climb.steps + 1):
        calls = max(1, round(rate * climb.step_s))
        traffic = _traffic(length, f"c{number}", calls)._replace(rate=round(rate))
        with awake(router):
            placed, wrong = _calls(router, traffic, folder)
        failed = placed.failed + wrong
        say(f"{router.name} at {rate:.0f}/s: {failed} of {calls} failed, {placed.rate:.0f}/s came about")
        if failed > FAILED_MOST * calls or placed.rate < RATE_LEAST * rate:
            break
        reached, rate = round(rate), rate * STEP
    return reached


@contextmanager
def awake(router: Router) -> Iterator[None]:
    """Let one router run for the length of the block, while all others stand still."""
    router.thaw()
    try:
        calm = time.monotonic() + CALM_S
        until(lambda: time.monotonic() > calm, 2 * CALM_S, "its timers")
        yield
    finally:
        router.freeze()


def profiled(ours: Tandem, length: Length, folder: Path) -> str:
    """Place the calls of one more round through ours while its processes are looked at; return what was seen."""
    stacks = folder / "stacks"
    with awake(ours), watched(ours.looked_at(), stacks):
        _calls(ours, _traffic(length, "p", length.calls), folder)
    return report(stacks)


def _round(router: Router, traffic: Traffic, folder: Path) -> Round:
    before = cpu.sample(router.roots(), router.roles())
    placed, wrong, after = _measured(router, traffic, folder)
    used = cpu.spent(before, after)
    return Round(cpu.per_call_us(used, traffic.calls), placed.setup_ms, placed.failed + wrong)


def _calls(router: Router, traffic: Traffic, folder: Path) -> tuple[Placed, int]:
    placed, wrong, _ = _measured(router, traffic, folder)
    return placed, wrong


def _measured(router: Router, traffic: Traffic, folder: Path) -> tuple[Placed, int, cpu.Sample]:
    """Place calls; return what was seen of them, how many have wrong books, and the CPU when all books were done."""
    router.begin(traffic.label)
    placed = place(router.proxy, traffic, folder / f"{router.name}-{traffic.label}")
    with suppress(DeadlineError):  # what is missing then is wrong
        until(lambda: router.done(traffic.label, placed.succeeded), BOOKED_S, "the books of all calls")
    after = cpu.sample(router.roots(), router.roles())
    return placed, max(0, placed.succeeded - router.right(traffic.label, placed.succeeded)), after


def _traffic(length: Length, label: str, calls: int) -> Traffic:
    return Traffic(label, calls, length.rate, length.talk_ms, length.lines)
