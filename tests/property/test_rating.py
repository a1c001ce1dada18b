"""Laws of prices and schedules, beside a model that counts increments one by one in fractions."""

from __future__ import annotations

from collections.abc import Sequence
from fractions import Fraction
from math import ceil, floor

from hypothesis import given
from hypothesis import strategies as st

from kemi.core.outcome import HoldRow
from kemi.core.rating import MICROS_MAX, SCHEDULE_ROWS_MAX, by_fund, charge, charges, cost, price, raised, schedule
from kemi.records import Band, PinnedLeg, Rate
from tests.property import strategies
from tests.property.strategies import LAW, START_MS

SECONDS = st.integers(0, 14_400)
ANSWERS = st.integers(START_MS - 120_000, START_MS + 360_000)
WINDOWS = st.one_of(st.sampled_from((0, 1, 999, 1_000, 120_000)), st.integers(0, 400_000))
FUNDS = ("5:EUR", "3:EUR", "2:EUR")

Funds = list[list[PinnedLeg]]


def band_at(leg: PinnedLeg, at_ms: int) -> Band:
    """Return the price in force at an instant."""
    ordinary = Band(0, leg.rate.per_min_micros, leg.rate.connect_micros)
    return next((band for band in leg.bands if not band.until_ms or at_ms < band.until_ms), ordinary)


def exact(leg: PinnedLeg, talk_s: int, answered_ms: int) -> Fraction:
    """Return what the call costs before rounding: connect fee, then increment after increment as it begins."""
    total = Fraction(band_at(leg, answered_ms).connect_micros)
    begun_s = 0
    while begun_s < talk_s:
        step_s = leg.rate.next_s if begun_s else leg.rate.first_s
        total += Fraction(band_at(leg, answered_ms + begun_s * 1000).per_min_micros * step_s, 60)
        begun_s += step_s
    return max(total, Fraction(leg.rate.min_micros)) if talk_s > 0 else Fraction(0)


def rounded(value: Fraction, rounding: str) -> int:
    """Return a whole number as the trade's words say; half_even is what Python's own round does."""
    match rounding:
        case "down":
            return floor(value)
        case "half_up":
            return floor(value + Fraction(1, 2))
        case "half_even":
            return round(value)
    return ceil(value)


@LAW
@given(leg=strategies.legs, answered_ms=ANSWERS, shorter_s=SECONDS, more_s=st.integers(0, 3_600))
def test_a_longer_call_never_costs_less(leg: PinnedLeg, answered_ms: int, shorter_s: int, more_s: int) -> None:
    """Price, cost and charge are monotone in time."""
    longer_s = shorter_s + more_s
    assert 0 <= price(leg.rate, shorter_s) <= price(leg.rate, longer_s)
    assert 0 <= cost(leg, shorter_s, answered_ms) <= cost(leg, longer_s, answered_ms)
    assert 0 <= charge(leg, shorter_s, answered_ms) <= charge(leg, longer_s, answered_ms)


@LAW
@given(leg=strategies.legs, answered_ms=ANSWERS, talk_s=st.integers(0, 600))
def test_the_cost_is_that_of_its_increments(leg: PinnedLeg, answered_ms: int, talk_s: int) -> None:
    """Each increment at the price in force when it begins, the minimum, and one rounding of the sum."""
    unit = leg.round_to_micros
    expected = rounded(exact(leg, talk_s, answered_ms) / unit, leg.rounding) * unit
    assert cost(leg, talk_s, answered_ms) == expected


@LAW
@given(leg=strategies.plain_legs, answered_ms=ANSWERS, talk_s=SECONDS)
def test_a_plain_leg_costs_its_rate(leg: PinnedLeg, answered_ms: int, talk_s: int) -> None:
    """Nothing but the rate counts where nothing else is said; prices are compared by the same sum."""
    assert charge(leg, talk_s, answered_ms) == cost(leg, talk_s, answered_ms) == price(leg.rate, talk_s)


@LAW
@given(leg=strategies.legs, answered_ms=ANSWERS, talk_s=SECONDS)
def test_an_exchange_never_gives_away_a_micro(leg: PinnedLeg, answered_ms: int, talk_s: int) -> None:
    """The fund pays what the payee earns at the pinned rate, rounded up, and less than one micro more."""
    paid, earned = charge(leg, talk_s, answered_ms), cost(leg, talk_s, answered_ms)
    worth = earned * Fraction(leg.exchange_nanos, 10**9) if leg.exchange_nanos else Fraction(earned)
    assert worth <= paid < worth + 1 or paid == MICROS_MAX < worth


@LAW
@given(legs=st.lists(strategies.legs, max_size=8), answered_ms=ANSWERS, talk_s=SECONDS)
def test_merging_equals_the_sum(legs: list[PinnedLeg], answered_ms: int, talk_s: int) -> None:
    """Every leg of a fund is charged to it once, whatever else the fund pays; what has no fund is charged to none."""
    paid = charges(by_fund(legs, FUNDS), talk_s, answered_ms)
    for fund, micros in zip(FUNDS, paid, strict=True):
        assert micros == sum(charge(leg, talk_s, answered_ms) for leg in legs if leg.fund == fund)
    (row,) = schedule(by_fund(legs, FUNDS), 0, 1, answered_ms)
    assert row.price_micros == charges(by_fund(legs, FUNDS), 1, answered_ms)


@LAW
@given(funds=strategies.funds, from_s=SECONDS, slice_s=st.integers(1, 14_400), answered_ms=ANSWERS)
def test_rows_rise_to_the_end_of_the_slice(funds: Funds, from_s: int, slice_s: int, answered_ms: int) -> None:
    """At most 16 rows, strictly later each, no cheaper for any fund, priced from 0, the last exactly at the end."""
    rows = schedule(funds, from_s, from_s + slice_s, answered_ms)
    talk_s = [row.talk_s for row in rows]
    assert 1 <= len(rows) <= SCHEDULE_ROWS_MAX
    assert talk_s == sorted(set(talk_s))
    assert talk_s[0] > from_s
    assert talk_s[-1] == from_s + slice_s
    assert all(row.price_micros == charges(funds, row.talk_s, answered_ms) for row in rows)


@LAW
@given(
    funds=strategies.funds,
    slice_s=st.integers(1, 600),
    asked_ms=ANSWERS,
    window_ms=WINDOWS,
    waited=st.fractions(0, 1),
    talked=st.fractions(0, 1),
)
def test_what_is_billed_was_held(
    funds: Funds, slice_s: int, asked_ms: int, window_ms: int, waited: Fraction, talked: Fraction
) -> None:
    """Whenever the answer comes in the window, no call within a row costs any fund more than the row."""
    answered_ms = asked_ms + int(window_ms * waited)
    rows = schedule(funds, 0, slice_s, asked_ms, asked_ms + window_ms)
    for fund in range(len(funds)):
        of_fund = [row.price_micros[fund] for row in rows]
        assert of_fund == sorted(of_fund)
    for row in rows:
        billed_s = int(row.talk_s * talked)
        for talk_s in (billed_s, row.talk_s):
            paid = charges(funds, talk_s, answered_ms)
            assert all(micros <= held for micros, held in zip(paid, row.price_micros, strict=True))


@LAW
@given(leg=strategies.legs, slice_s=st.integers(1, 600), asked_ms=ANSWERS, window_ms=WINDOWS)
def test_no_more_is_held_than_some_answer_could_cost(
    leg: PinnedLeg, slice_s: int, asked_ms: int, window_ms: int
) -> None:
    """A hold asks for no more than the dearest prices that the call could meet, all the time."""
    met = [band_at(leg, at_ms) for at_ms in edges(leg, asked_ms, asked_ms + window_ms + slice_s * 1000)]
    dearest = Rate(
        max(band.per_min_micros for band in met),
        leg.rate.first_s,
        leg.rate.next_s,
        max(band.connect_micros for band in met),
        min_micros=leg.rate.min_micros,
    )
    most = leg._replace(rate=dearest, bands=())
    for row in schedule([[leg]], 0, slice_s, asked_ms, asked_ms + window_ms):
        assert row.price_micros[0] <= charge(most, row.talk_s, asked_ms)


@LAW
@given(funds=strategies.funds, slice_s=st.integers(1, 600), asked_ms=ANSWERS, window_ms=WINDOWS)
def test_an_extension_is_never_below_the_hold(funds: Funds, slice_s: int, asked_ms: int, window_ms: int) -> None:
    """What was held before the answer stays the least that later rows ask for; prices above it stay as they are."""
    held = schedule(funds, 0, slice_s, asked_ms, asked_ms + window_ms)[-1].price_micros
    rows = schedule(funds, slice_s, slice_s + 60, asked_ms + window_ms)
    for row, after in zip(rows, raised(rows, held), strict=True):
        assert after.talk_s == row.talk_s
        assert after.price_micros == tuple(max(pair) for pair in zip(row.price_micros, held, strict=True))


@LAW
@given(
    funds=strategies.funds,
    purses=st.lists(st.integers(0, 20_000_000), min_size=4, max_size=4),
    slice_s=st.sampled_from((7, 60, 3600)),
    max_s=SECONDS,
    answered_ms=ANSWERS,
)
def test_slice_after_slice_ends_at_the_last_second_that_all_can_pay(
    funds: Funds, purses: list[int], slice_s: int, max_s: int, answered_ms: int
) -> None:
    """Taking the largest row that can be paid and asking again from there loses nobody a second."""
    granted_s = 0
    while (further_s := _extended(funds, purses, granted_s, min(granted_s + slice_s, max_s), answered_ms)) > granted_s:
        granted_s = further_s
    assert granted_s == _last_second(funds, purses, max_s, answered_ms)


@LAW
@given(funds=strategies.funds, purses=st.lists(st.integers(0, 20_000_000), min_size=4, max_size=4))
def test_the_last_second_of_a_long_slice_is_found_in_few_steps(funds: Funds, purses: list[int]) -> None:
    """Rows spread geometrically: 40 round trips find one second among four hours."""
    granted_s, steps = 0, 0
    while (further_s := _extended(funds, purses, granted_s, 14_400, START_MS)) > granted_s:
        granted_s, steps = further_s, steps + 1
    assert steps <= 40


def edges(leg: PinnedLeg, from_ms: int, to_ms: int) -> list[int]:
    """Return instants in the range among which every band that is met has one."""
    return [from_ms, *(band.until_ms for band in leg.bands if from_ms <= band.until_ms <= to_ms)]


def _extended(funds: Sequence[Sequence[PinnedLeg]], purses: Sequence[int], from_s: int, to_s: int, at_ms: int) -> int:
    """Return where the money function would grant to: the largest row that all funds can pay, else from_s."""
    paid = [row.talk_s for row in schedule(funds, from_s, to_s, at_ms) if _can_pay(row, purses)]
    return max(paid, default=from_s)


def _can_pay(row: HoldRow, purses: Sequence[int]) -> bool:
    return all(micros <= purse for micros, purse in zip(row.price_micros, purses, strict=False))


def _last_second(funds: Sequence[Sequence[PinnedLeg]], purses: Sequence[int], max_s: int, at_ms: int) -> int:
    """Find by bisection the longest call that every fund can pay."""
    low, high = 0, max_s
    while low < high:
        middle = (low + high + 1) // 2
        if _can_pay(HoldRow(middle, charges(funds, middle, at_ms)), purses):
            low = middle
        else:
            high = middle - 1
    return low
