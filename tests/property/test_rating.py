"""Laws of prices, paid seconds and schedules."""

from __future__ import annotations

from collections.abc import Sequence

from hypothesis import given
from hypothesis import strategies as st

from kemi.core.outcome import HoldRow
from kemi.core.rating import SCHEDULE_ROWS_MAX, price, prices, schedule, seconds_for
from kemi.records import Rate
from tests.property import strategies
from tests.property.strategies import LAW

SECONDS = st.integers(0, 14_400)


@LAW
@given(rate=strategies.rates, shorter_s=SECONDS, more_s=SECONDS)
def test_a_longer_call_never_costs_less(rate: Rate, shorter_s: int, more_s: int) -> None:
    """Price is monotone in time."""
    assert 0 <= price(rate, shorter_s) <= price(rate, shorter_s + more_s)


@LAW
@given(rate=strategies.rates, micros=st.integers(0, 50_000_000), max_s=SECONDS)
def test_paid_seconds_are_the_most_that_the_money_covers(rate: Rate, micros: int, max_s: int) -> None:
    """price(seconds_for(m)) ≤ m < price(one second more), unless the maximum ends the call first."""
    paid_s = seconds_for(rate, micros, max_s)
    assert 0 <= paid_s <= max_s
    assert price(rate, paid_s) <= micros
    assert paid_s == max_s or micros < price(rate, paid_s + 1)


@LAW
@given(rate=strategies.rates, talk_s=st.integers(1, 14_400))
def test_the_exact_price_pays_for_the_call(rate: Rate, talk_s: int) -> None:
    """Whoever has the price of a call can make it."""
    assert seconds_for(rate, price(rate, talk_s), talk_s) == talk_s


@LAW
@given(funds=strategies.funds, from_s=SECONDS, slice_s=st.integers(1, 14_400))
def test_rows_rise_to_the_end_of_the_slice(funds: list[list[Rate]], from_s: int, slice_s: int) -> None:
    """At most 16 rows, strictly later each, no cheaper for any fund, priced from 0, the last exactly at the end."""
    rows = schedule(funds, from_s, from_s + slice_s)
    talk_s = [row.talk_s for row in rows]
    assert 1 <= len(rows) <= SCHEDULE_ROWS_MAX
    assert talk_s == sorted(set(talk_s))
    assert talk_s[0] > from_s
    assert talk_s[-1] == from_s + slice_s
    assert all(row.price_micros == prices(funds, row.talk_s) for row in rows)
    for fund in range(len(funds)):
        of_fund = [row.price_micros[fund] for row in rows]
        assert of_fund == sorted(of_fund)


@LAW
@given(
    funds=strategies.funds,
    purses=st.lists(st.integers(0, 20_000_000), min_size=4, max_size=4),
    slice_s=st.sampled_from((1, 7, 60, 3600)),
    max_s=SECONDS,
)
def test_slice_after_slice_ends_at_the_last_second_that_all_can_pay(
    funds: list[list[Rate]], purses: list[int], slice_s: int, max_s: int
) -> None:
    """Taking the largest row that can be paid and asking again from there loses nobody a second."""
    granted_s = 0
    while (further_s := _extended(funds, purses, granted_s, min(granted_s + slice_s, max_s))) > granted_s:
        granted_s = further_s
    assert granted_s == _last_second(funds, purses, max_s)


@LAW
@given(rate=strategies.rates, micros=st.integers(0, 20_000_000), max_s=SECONDS)
def test_slices_of_one_rate_end_at_seconds_for(rate: Rate, micros: int, max_s: int) -> None:
    """Hold and estimate agree: the schedule reaches what seconds_for promises."""
    granted_s = 0
    while (further_s := _extended([[rate]], [micros], granted_s, min(granted_s + 60, max_s))) > granted_s:
        granted_s = further_s
    assert granted_s == seconds_for(rate, micros, max_s)


@LAW
@given(funds=strategies.funds, purses=st.lists(st.integers(0, 20_000_000), min_size=4, max_size=4))
def test_the_last_second_of_a_long_slice_is_found_in_few_steps(funds: list[list[Rate]], purses: list[int]) -> None:
    """Rows spread geometrically: 40 round trips find one second among four hours."""
    granted_s, steps = 0, 0
    while (further_s := _extended(funds, purses, granted_s, 14_400)) > granted_s:
        granted_s, steps = further_s, steps + 1
    assert steps <= 40


def _extended(funds: Sequence[Sequence[Rate]], purses: Sequence[int], from_s: int, to_s: int) -> int:
    """Return where the money function would grant to: the largest row that all funds can pay, else from_s."""
    paid = [row.talk_s for row in schedule(funds, from_s, to_s) if _can_pay(row, purses)]
    return max(paid, default=from_s)


def _can_pay(row: HoldRow, purses: Sequence[int]) -> bool:
    return all(micros <= purse for micros, purse in zip(row.price_micros, purses, strict=False))


def _last_second(funds: Sequence[Sequence[Rate]], purses: Sequence[int], max_s: int) -> int:
    """Find by bisection the longest call that every fund can pay."""
    low, high = 0, max_s
    while low < high:
        middle = (low + high + 1) // 2
        if _can_pay(HoldRow(middle, prices(funds, middle)), purses):
            low = middle
        else:
            high = middle - 1
    return low
