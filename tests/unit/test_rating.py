"""Prices and schedules: worked examples of the trade's increments, periods, rounding and exchange."""

from __future__ import annotations

import pytest

from kemi.core.outcome import HoldRow
from kemi.core.rating import (
    CALL_MICROS_MAX,
    MICROS_MAX,
    SCHEDULE_ROWS_MAX,
    by_fund,
    charge,
    charges,
    cost,
    price,
    raised,
    schedule,
)
from kemi.records import Band, PinnedLeg, Rate

PER_SECOND = Rate(per_min_micros=600_000)
THIRTY_SIX = Rate(per_min_micros=600_000, first_s=30, next_s=6)
MINUTES = Rate(per_min_micros=12_000, first_s=60, next_s=60)
WITH_FEE = Rate(per_min_micros=12_000, first_s=60, next_s=60, connect_micros=50_000)
WITH_MINIMUM = Rate(per_min_micros=12_000, first_s=60, next_s=60, min_micros=30_000)
FREE = Rate(per_min_micros=0)
FEE_ONLY = Rate(per_min_micros=0, connect_micros=50_000)
MINIMUM_ONLY = Rate(per_min_micros=0, min_micros=50_000)
ODD = Rate(per_min_micros=100)
BROKEN = Rate(per_min_micros=60, first_s=0, next_s=0)
DEAR = Rate(per_min_micros=2**63)
NOON_MS = 1_770_033_600_000
"""Tariffs of these examples get cheaper at noon."""


def leg(
    rate: Rate, *bands: Band, fund: str = "5:EUR", rounding: str = "up", unit: int = 1, nanos: int = 0
) -> PinnedLeg:
    """Return a payment at this rate."""
    return PinnedLeg(1, 5, 2, "EUR", fund, 3, 11, "44", rate, bands, rounding, unit, nanos)


BANDED = leg(THIRTY_SIX, Band(NOON_MS, 600_000, 5_000), Band(0, 60_000, 1_000))


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
        (WITH_MINIMUM, 0, 0),
        (WITH_MINIMUM, 1, 30_000),
        (WITH_MINIMUM, 120, 30_000),
        (WITH_MINIMUM, 121, 36_000),
        (MINIMUM_ONLY, 3600, 50_000),
        (FEE_ONLY, 3600, 50_000),
        (FREE, 3600, 0),
        (ODD, 1, 2),
        (ODD, 2, 4),
        (ODD, 3, 5),
        (ODD, 60, 100),
        (BROKEN, 2, 2),
        (DEAR, 1, MICROS_MAX),
    ],
)
def test_price(rate: Rate, talk_s: int, micros: int) -> None:
    """Connect fee, first increment, begun increments, the least of a call; one rounding, of the total, upwards."""
    assert price(rate, talk_s) == micros
    assert cost(leg(rate), talk_s, 0) == micros


@pytest.mark.parametrize(
    ("answered_ms", "talk_s", "micros"),
    [
        (NOON_MS - 30_001, 30, 5_000 + 300_000),
        (NOON_MS - 30_001, 31, 5_000 + 300_000 + 60_000),  # begins 1 ms before noon
        (NOON_MS - 30_000, 31, 5_000 + 300_000 + 6_000),  # begins at noon
        (NOON_MS - 30_000, 36, 5_000 + 300_000 + 6_000),
        (NOON_MS - 1, 600, 5_000 + 300_000 + 95 * 6_000),
        (NOON_MS, 600, 1_000 + 30_000 + 95 * 6_000),
        (NOON_MS - 1, 0, 0),
    ],
)
def test_an_increment_costs_what_counts_when_it_begins(answered_ms: int, talk_s: int, micros: int) -> None:
    """A call that crosses noon is split there, at the increment; the connect fee is that of the answer."""
    assert cost(BANDED, talk_s, answered_ms) == micros


def test_a_minimum_is_that_of_the_whole_call() -> None:
    """It counts once, over all bands."""
    minimal = BANDED._replace(rate=THIRTY_SIX._replace(min_micros=400_000))
    assert cost(minimal, 36, NOON_MS - 30_000) == 400_000
    assert cost(minimal, 600, NOON_MS - 1) == cost(BANDED, 600, NOON_MS - 1)


@pytest.mark.parametrize(
    ("rounding", "micros"),
    [("up", 20_000), ("down", 10_000), ("half_up", 20_000), ("half_even", 20_000), ("sideways", 20_000)],
)
def test_a_tariff_rounds_the_price_of_the_call(rounding: str, micros: int) -> None:
    """15 000 micros to whole hundredths; a word that nobody knows rounds up."""
    assert cost(leg(Rate(15_000, 60, 60), rounding=rounding, unit=10_000), 60, 0) == micros


@pytest.mark.parametrize(
    ("per_min_micros", "micros"), [(5_000, 0), (15_000, 20_000), (25_000, 20_000), (25_001, 30_000)]
)
def test_half_even_favours_nobody(per_min_micros: int, micros: int) -> None:
    """Of two as near the even one."""
    assert cost(leg(Rate(per_min_micros, 60, 60), rounding="half_even", unit=10_000), 60, 0) == micros


def test_a_price_is_rounded_once() -> None:
    """A third of a micro above a half is above it: no rounding to a micro comes first."""
    assert cost(leg(Rate(100), rounding="half_even"), 3, 0) == 5
    assert cost(leg(Rate(110), rounding="half_even"), 3, 0) == 6  # 5.5
    assert cost(leg(Rate(130), rounding="half_even"), 3, 0) == 6  # 6.5
    assert cost(leg(Rate(100), rounding="down"), 1, 0) == 1  # 1.67
    assert cost(leg(MINIMUM_ONLY, rounding="down", unit=40_000), 1, 0) == 40_000


@pytest.mark.parametrize(
    ("nanos", "micros"), [(0, 12_000), (10**9, 12_000), (920_000_000, 11_040), (920_000_001, 11_041), (1, 1)]
)
def test_an_exchange_rounds_up(nanos: int, micros: int) -> None:
    """What the fund pays covers what the payee earns; that stays as it is."""
    exchanged = leg(MINUTES, nanos=nanos)
    assert charge(exchanged, 60, 0) == micros
    assert cost(exchanged, 60, 0) == 12_000


def test_what_nobody_has_is_no_more_than_redis_can_count() -> None:
    """An absurd price is refused as unpaid instead of wrapping round."""
    assert charge(leg(DEAR, nanos=2**53), 60, 0) == MICROS_MAX
    assert charge(leg(DEAR, Band(0, 2**63), unit=7), 60, 0) == MICROS_MAX


def test_what_a_fund_pays_is_no_more_than_redis_can_count_and_a_row_no_more_than_the_ledger_can_say() -> None:
    """Two legs at the most that there is cost that much together; a schedule ends where a call may not go on."""
    assert charges([[leg(DEAR), leg(DEAR)]], 60, 0) == (MICROS_MAX,)
    assert schedule([[leg(DEAR), leg(DEAR)]], 0, 60, 0) == ()
    rows = schedule([[leg(Rate(10**12))]], 0, 86_400, 0)
    assert 0 < rows[-1].talk_s < 86_400
    assert rows[-1].price_micros[0] <= CALL_MICROS_MAX


def test_charges_are_summed_per_fund() -> None:
    """A fund that stands at two levels of the chains pays both of its legs; a carrier's leg is no fund's."""
    legs = [leg(MINUTES), leg(FREE, fund="3:EUR"), leg(PER_SECOND), leg(PER_SECOND, fund="")]
    funds = by_fund(legs, ("3:EUR", "5:EUR", "2:EUR"))
    assert funds == [[legs[1]], [legs[0], legs[2]], []]
    assert charges(funds, 61, 0) == (0, 24_000 + 610_000, 0)


def test_rows_end_increments() -> None:
    """A minute slice of a minute tariff is one row; of a second tariff it is fine at the start, coarse later."""
    assert schedule([[leg(MINUTES)]], 0, 60, 0) == (HoldRow(60, (12_000,)),)
    talk_s = [row.talk_s for row in schedule([[leg(PER_SECOND)]], 0, 60, 0)]
    assert talk_s[:4] == [1, 2, 3, 4]
    assert talk_s[-1] == 60
    assert len(talk_s) <= SCHEDULE_ROWS_MAX


def test_an_extension_starts_after_what_is_granted() -> None:
    """Its rows follow the increments from the start of the call, and its prices count from 0."""
    rows = schedule([[leg(THIRTY_SIX)], [leg(FREE)]], 33, 50, 0)
    assert rows == tuple(HoldRow(at_s, (price(THIRTY_SIX, at_s), 0)) for at_s in (36, 42, 48, 50))


def test_a_free_call_has_one_row() -> None:
    """Nothing changes between start and end, so one row says it all."""
    assert schedule([[leg(FREE)], [leg(FEE_ONLY)], [leg(MINIMUM_ONLY)]], 0, 14_400, 0) == (
        HoldRow(14_400, (0, 50_000, 50_000)),
    )
    assert schedule([], 0, 60, 0) == (HoldRow(60, ()),)


@pytest.mark.parametrize(("from_s", "to_s"), [(60, 60), (61, 60), (0, 0)])
def test_no_time_no_rows(from_s: int, to_s: int) -> None:
    """There is nothing to hold for no time."""
    assert schedule([[leg(MINUTES)]], from_s, to_s, 0) == ()


def test_a_hold_before_the_answer_asks_for_the_dearest() -> None:
    """An answer 10 s before noon is the dearest that may come; one that can only come after noon is cheap."""
    (row,) = schedule([[BANDED]], 0, 30, NOON_MS - 60_000, NOON_MS - 10_000)
    assert row.price_micros == (305_000,)
    (row,) = schedule([[BANDED]], 0, 30, NOON_MS, NOON_MS + 60_000)
    assert row.price_micros == (31_000,)


def test_a_dearer_time_counts_as_far_as_the_answer_may_bring_the_call_into_it() -> None:
    """Asked 60 s before the dear hour, answered within 20 s: the first 40 s are cheap whenever the answer comes."""
    dear = leg(PER_SECOND, Band(NOON_MS, 60_000), Band(0, 600_000, 7))
    rows = {row.talk_s: row.price_micros[0] for row in schedule([[dear]], 0, 60, NOON_MS - 60_000, NOON_MS - 40_000)}
    assert rows[60] == 40 * 1_000 + 20 * 10_000
    assert rows[60] == cost(dear, 60, NOON_MS - 40_000)


def test_an_extension_after_a_dear_hold_keeps_it() -> None:
    """What is held is never lowered; the cheaper truth fills it up first."""
    held = schedule([[BANDED]], 0, 30, NOON_MS - 1, NOON_MS + 1)[-1].price_micros
    rows = raised(schedule([[BANDED]], 30, 90, NOON_MS + 1), held)
    assert held == (305_000,)
    assert [row.price_micros for row in rows if row.price_micros > held] == []
    assert raised((HoldRow(60, (1, 400_000)),), (2, 305_000)) == (HoldRow(60, (2, 400_000)),)
