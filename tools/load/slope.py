"""Whether memory grows: pure.

The slope is Theil and Sen's, the median over all pairs of samples: a few wild samples do not move it. That it is no
chance says Mann and Kendall's test (z ≥ 3.3, less than one of a thousand flat series). A cache that fills up, or a pool
that is allocated once, is a step and no leak: so both halves of the series must grow, each by half of the floor.
"""

from __future__ import annotations

from collections.abc import Sequence
from math import copysign, sqrt
from statistics import median
from typing import Final, NamedTuple

SAMPLES_MIN: Final = 30
SAMPLES_MAX: Final = 240  # more are thinned: the pairs grow with the square
Z_MIN: Final = 3.3


class Sample(NamedTuple):
    """A value at a time. at: seconds."""

    at: float
    value: float


class Growth(NamedTuple):
    """What a series does. per_hour: its slope. grown: slope times the time looked at. z: of Mann and Kendall."""

    samples: int
    per_hour: float
    grown: float
    z: float
    is_judged: bool
    is_leak: bool


def growth(series: Sequence[Sample], warm_s: float, floor: float) -> Growth:
    """Judge a series. warm_s: what comes before, from its first sample on, is left out. floor: growth that is none."""
    start = series[0].at + warm_s if series else 0.0
    kept = _thinned([sample for sample in series if sample.at >= start])
    if len(kept) < SAMPLES_MIN:
        return Growth(len(kept), 0.0, 0.0, 0.0, is_judged=False, is_leak=False)
    halves = (kept[: len(kept) // 2], kept[len(kept) // 2 :])
    slope, z = theil_sen(kept), mann_kendall(kept)
    grown = slope * _span(kept)
    steady = all(theil_sen(half) * _span(half) >= floor / 2 for half in halves)
    is_leak = grown >= floor and z >= Z_MIN and steady
    return Growth(len(kept), slope * 3600, grown, z, is_judged=True, is_leak=is_leak)


def theil_sen(series: Sequence[Sample]) -> float:
    """Return the median slope over all pairs, per second; 0 of less than two samples."""
    slopes = [
        (later.value - sample.value) / (later.at - sample.at)
        for place, sample in enumerate(series)
        for later in series[place + 1 :]
        if later.at > sample.at
    ]
    return median(slopes) if slopes else 0.0


def mann_kendall(series: Sequence[Sample]) -> float:
    """Return the test's z: > 0 rises. Ties are taken into account; 0 where nothing ever changes."""
    count = len(series)
    signs = sum(
        (later.value > sample.value) - (later.value < sample.value)
        for place, sample in enumerate(series)
        for later in series[place + 1 :]
    )
    values = [sample.value for sample in series]
    ties = [values.count(value) for value in set(values)]
    spread = (count * (count - 1) * (2 * count + 5) - sum(t * (t - 1) * (2 * t + 5) for t in ties)) / 18
    if not signs or spread <= 0:
        return 0.0
    return (signs - copysign(1, signs)) / sqrt(spread)


def _span(series: Sequence[Sample]) -> float:
    return series[-1].at - series[0].at


def _thinned(series: list[Sample]) -> list[Sample]:
    step = max(1, -(-len(series) // SAMPLES_MAX))
    return series[::step]
