"""Prices, paid seconds and schedules: worked examples of the trade's increments."""

from __future__ import annotations

import pytest

from kemi.core.outcome import HoldRow
from kemi.core.rating import SCHEDULE_ROWS_MAX, price, prices, schedule, seconds_for
from kemi.records import Rate

PER_SECOND = Rate(per_min_micros=600_000)
THIRTY_SIX = Rate(per_min_micros=600_000, first_s=30, next_s=6)
MINUTES = Rate(per_min_micros=12_000, first_s=60, next_s=60)
WITH_FEE = Rate(per_min_micros=12_000, first_s=60, next_s=60, connect_micros=50_000)
FREE = Rate(per_min_micros=0)
FEE_ONLY = Rate(per_min_micros=0, connect_micros=50_000)
ODD = Rate(per_min_micros=100)
BROKEN = Rate(per_min_micros=60, first_s=0, next_s=0)


@pytest.mark.parametrize(
    ("rate", "talk_s", "micros"),
    [
        (PER_SECOND, 0, 0),
        (PER_SECOND, -1, 0),
        (PER_SECOND, 1, 10_000),
        (THIRTY_SIX, 1, 300_000),
        (THIRTY_SIX, 30, 300_000),
        (THIRTY_SIX, 31, 360_000),
        (THIRTY_SIX, 36, 360_000),
        (MINUTES, 61, 24_000),
        (WITH_FEE, 0, 0),
        (WITH_FEE, 1, 62_000),
        (FEE_ONLY, 3600, 50_000),
        (FREE, 3600, 0),
        (ODD, 1, 2),
        (ODD, 2, 4),
        (ODD, 3, 5),
        (ODD, 60, 100),
        (BROKEN, 2, 2),
    ],
)
def test_price(rate: Rate, talk_s: int, micros: int) -> None:
    """Connect fee, first increment, begun increments; one rounding, of the total, upwards."""
    assert price(rate, talk_s) == micros


@pytest.mark.parametrize(
    ("rate", "micros", "max_s", "seconds"),
    [
        (THIRTY_SIX, 1_000_000, 3600, 96),
        (THIRTY_SIX, 299_999, 3600, 0),
        (THIRTY_SIX, 300_000, 3600, 30),
        (THIRTY_SIX, 300_000, 20, 20),
        (WITH_FEE, 61_999, 3600, 0),
        (WITH_FEE, 62_000, 3600, 60),
        (FREE, 0, 3600, 3600),
        (FREE, -1, 3600, 0),
        (FEE_ONLY, 49_999, 3600, 0),
        (FEE_ONLY, 50_000, 3600, 3600),
        (PER_SECOND, 10**12, 0, 0),
        (ODD, 4, 3600, 2),
        (BROKEN, 2, 3600, 2),
    ],
)
def test_seconds_for(rate: Rate, micros: int, max_s: int, seconds: int) -> None:
    """Only increments paid in full count, and never more than the maximum."""
    assert seconds_for(rate, micros, max_s) == seconds


def test_prices_are_summed_per_fund() -> None:
    """A fund that stands at two levels of the chains pays both of its rates."""
    assert prices([[MINUTES, PER_SECOND], [FREE], []], 61) == (24_000 + 610_000, 0, 0)


def test_rows_end_increments() -> None:
    """A minute slice of a minute tariff is one row; of a second tariff it is fine at the start, coarse later."""
    assert schedule([[MINUTES]], 0, 60) == (HoldRow(60, (12_000,)),)
    talk_s = [row.talk_s for row in schedule([[PER_SECOND]], 0, 60)]
    assert talk_s[:4] == [1, 2, 3, 4]
    assert talk_s[-1] == 60
    assert len(talk_s) <= SCHEDULE_ROWS_MAX


def test_an_extension_starts_after_what_is_granted() -> None:
    """Its rows follow the increments from the start of the call, and its prices count from 0."""
    rows = schedule([[THIRTY_SIX], [FREE]], 33, 50)
    assert rows == tuple(HoldRow(at_s, (price(THIRTY_SIX, at_s), 0)) for at_s in (36, 42, 48, 50))


def test_a_free_call_has_one_row() -> None:
    """Nothing changes between start and end, so one row says it all."""
    assert schedule([[FREE], [FEE_ONLY]], 0, 14_400) == (HoldRow(14_400, (0, 50_000)),)
    assert schedule([], 0, 60) == (HoldRow(60, ()),)


@pytest.mark.parametrize(("from_s", "to_s"), [(60, 60), (61, 60), (0, 0)])
def test_no_time_no_rows(from_s: int, to_s: int) -> None:
    """There is nothing to hold for no time."""
    assert schedule([[MINUTES]], from_s, to_s) == ()
