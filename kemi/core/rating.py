"""What talk time costs: the one implementation for hold, extension, settlement, least cost and re-rating.

Rule 1: a price is a function of the total talk time; nobody adds rounded slices.
Rule 2: money is integer micros, rounded up once per rate; time is whole seconds.
Rule 3: price is monotone in time, so a hold that pays for t seconds pays for every shorter call.
"""

from __future__ import annotations

from collections.abc import Sequence
from typing import Final

from kemi.core.outcome import HoldRow
from kemi.records import Rate

SCHEDULE_ROWS_MAX: Final = 16
SECONDS_PER_MINUTE: Final = 60


def price(rate: Rate, talk_s: int) -> int:
    """Return what `talk_s` seconds cost at `rate`, in micros of the tariff's currency, rounded up.

    Charged: connect fee, first_s, then each begun next_s. 0 for no talk time at all, not even the connect fee.
    >>> price(Rate(per_min_micros=600_000, first_s=30, next_s=6), 31)
    360000
    """
    if talk_s <= 0:
        return 0
    return rate.connect_micros + _ceil_div(rate.per_min_micros * _increment_end(rate, talk_s), SECONDS_PER_MINUTE)


def prices(rates: Sequence[Sequence[Rate]], talk_s: int) -> tuple[int, ...]:
    """Return the price of `talk_s` seconds per fund. rates: per fund, the rates that it pays."""
    return tuple(sum(price(rate, talk_s) for rate in paid) for paid in rates)


def seconds_for(rate: Rate, micros: int, max_s: int) -> int:
    """Return the longest call, in whole seconds up to `max_s`, that `micros` pay for at `rate`.

    micros: may be negative, then 0. 0 too when the first increment is not covered. The last increment counts only
    if paid in full.
    >>> seconds_for(Rate(per_min_micros=600_000, first_s=30, next_s=6), 1_000_000, 3600)
    96
    """
    for_talk = micros - rate.connect_micros
    if micros < 0 or for_talk < 0 or max_s <= 0:
        return 0
    if rate.per_min_micros <= 0:
        return max_s
    first_s, next_s = _increments(rate)
    paid_s = for_talk * SECONDS_PER_MINUTE // rate.per_min_micros
    if paid_s < first_s:
        return 0
    return min(max_s, paid_s - (paid_s - first_s) % next_s)


def schedule(rates: Sequence[Sequence[Rate]], from_s: int, to_s: int) -> tuple[HoldRow, ...]:
    """Return at most 16 rows that a hold or an extension may grant, talk_s rising in (from_s, to_s], the last = to_s.

    rates: per fund, the rates that it pays. from_s: what is granted already, 0 at the start. Prices are cumulative
    from 0. Empty when to_s ≤ from_s.

    Each row but the last ends an increment of some rate. The first is the nearest such end, the others spread
    geometrically: who takes the largest row that can be paid and asks again from there arrives at the last second
    that can be paid, in a number of steps that grows with the logarithm of the slice.
    """
    if to_s <= from_s:
        return ()
    paid = [rate for fund in rates for rate in fund]
    at_s = _boundary(paid, from_s + 1, to_s)
    first_gap_s = at_s - from_s
    spread = (to_s - from_s) / first_gap_s
    rows = [HoldRow(at_s, prices(rates, at_s))]
    while at_s < to_s:
        row = len(rows)
        wanted_s = from_s + int(first_gap_s * spread ** (row / (SCHEDULE_ROWS_MAX - 1)))
        is_last = row == SCHEDULE_ROWS_MAX - 1
        at_s = to_s if is_last else _boundary(paid, max(wanted_s, at_s + 1), to_s)
        rows.append(HoldRow(at_s, prices(rates, at_s)))
    return tuple(rows)


def _increment_end(rate: Rate, talk_s: int) -> int:
    """Return the last second of the increment that second `talk_s` (≥ 1) falls into: what is charged for it."""
    first_s, next_s = _increments(rate)
    if talk_s <= first_s:
        return first_s
    return first_s + _ceil_div(talk_s - first_s, next_s) * next_s


def _boundary(rates: Sequence[Rate], talk_s: int, to_s: int) -> int:
    """Return the last second up to `to_s` that costs every fund what `talk_s` costs."""
    return min(to_s, *(_increment_end(rate, talk_s) for rate in rates if rate.per_min_micros > 0), to_s)


def _increments(rate: Rate) -> tuple[int, int]:
    """Return (first_s, next_s); 0 s, which only a broken record has, would never end and counts as 1 s."""
    return max(1, rate.first_s), max(1, rate.next_s)


def _ceil_div(dividend: int, divisor: int) -> int:
    return -(-dividend // divisor)
