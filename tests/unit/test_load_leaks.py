"""A leak is told from all else that memory does."""

from __future__ import annotations

import random
from collections.abc import Callable

import pytest

from tools.load.memory import BLOCKS, MIB, OWN, PACKAGE, SHARED, Name, judge, warm_s
from tools.load.slope import Sample, growth, mann_kendall, theil_sen

WORKER = Name(OWN, "kamailio: udp receiver child=0", 71)


def series(value: Callable[[int], float], count: int = 120, *, noise: float = 0.0) -> list[Sample]:
    """Return a sample a second, with noise that is the same each time."""
    chance = random.Random(7)  # noqa: S311  noise, no secret
    return [Sample(float(at), value(at) + chance.gauss(0, noise)) for at in range(count)]


@pytest.mark.parametrize(
    ("memory", "is_leak"),
    [
        (series(lambda at: 25 * MIB + at * MIB / 10, noise=MIB / 4), True),
        (series(lambda at: 25 * MIB + at // 20 * 2 * MIB), True),
        (series(lambda _: 25 * MIB, noise=MIB), False),
        (series(lambda _: 25 * MIB), False),
        (series(lambda at: 25 * MIB + min(at, 50) * MIB), False),
        (series(lambda at: 25 * MIB + (8 * MIB if at > 75 else 0), noise=MIB / 100), False),
        (series(lambda at: 25 * MIB + (at % 12) * MIB), False),
        (series(lambda at: 40 * MIB - at * MIB / 10, noise=MIB / 4), False),
        (series(lambda at: 25 * MIB + at * MIB / 100), False),
        (series(lambda at: 25 * MIB + (500 * MIB if at % 40 == 0 else 0)), False),
    ],
    ids=[
        "planted: 0.1 MiB a second", "planted: 2 MiB every 20 s", "noise", "flat", "warm-up", "one step", "saw",
        "shrinks", "1 MiB", "wild samples",
    ],
)  # fmt: skip
def test_a_planted_leak_is_found_and_nothing_else(memory: list[Sample], *, is_leak: bool) -> None:
    assert growth(memory, 30.0, 2 * MIB).is_leak is is_leak


def test_the_sentence_says_who_what_and_how_much() -> None:
    memory = series(lambda at: 25 * MIB + at * MIB / 10)
    told = judge(WORKER, memory, 120.0)
    assert told.told == (
        "own memory of kamailio: udp receiver child=0 (pid 71) leaks: it grew by 8.9 MiB after the warm-up, "
        "steadily in both halves, 360.0 MiB an hour"
    )
    assert (told.first, told.last) == (memory[0].value, memory[-1].value)


@pytest.mark.parametrize(
    ("kind", "each_s", "is_leak"),
    [(PACKAGE, MIB / 100, True), (BLOCKS, 500.0, True), (BLOCKS, 10.0, False), (OWN, MIB / 100, False)],
)
def test_each_kind_of_memory_has_its_own_floor(kind: str, each_s: float, *, is_leak: bool) -> None:
    assert judge(Name(kind, "x", 1), series(lambda at: at * each_s), 120.0).growth.is_leak is is_leak


def test_what_is_too_short_is_not_judged() -> None:
    """Shared memory holds nonces for an hour: a short run says nothing of it, however it grows."""
    assert not growth(series(lambda at: at * MIB, 40), 30.0, MIB).is_judged
    assert not growth([], 30.0, MIB).is_judged
    assert not judge(Name(SHARED, "kamailio", 0), series(lambda at: at * MIB), 120.0).growth.is_judged
    assert judge(Name(SHARED, "kamailio", 0), series(lambda at: at * MIB, 8_000), 8_000.0).told.startswith(
        "shared memory of the node leaks"
    )


@pytest.mark.parametrize(("seconds", "warm"), [(50, 15.0), (120, 30.0), (100_000, 600.0)])
def test_the_warm_up_grows_with_the_run(seconds: float, warm: float) -> None:
    assert warm_s(OWN, seconds) == warm


def test_the_statistics_are_those_of_the_books() -> None:
    """Theil and Sen: median of pairs. Mann and Kendall: S = 8 of 5 samples, variance 50/3; ties lessen it."""
    line = [Sample(float(x), float(y)) for x, y in ((0, 0), (1, 1), (2, 2), (3, 9), (4, 4))]
    assert theil_sen(line) == 1.0
    assert mann_kendall(line) == pytest.approx(7 / (50 / 3) ** 0.5)
    assert mann_kendall([Sample(float(x), 3.0) for x in range(9)]) == 0.0
    assert mann_kendall([Sample(0.0, 1.0)]) == 0.0
