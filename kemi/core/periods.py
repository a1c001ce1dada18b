"""When a price changes: times of the week in a tariff's time zone, as instants.

Rule 1: a time of the week is what clocks on the wall show. So an hour that a clock change repeats has its price twice,
and one that it leaves out never.
Rule 2: of several periods that fit, the first of the rate set counts that the class has a price for; where none fits,
the class's ordinary price.
"""

from __future__ import annotations

from bisect import bisect_right
from collections.abc import Sequence
from datetime import UTC, datetime, timedelta, tzinfo
from functools import lru_cache
from typing import Final

from kemi.records import Band, Period, PeriodPrice, Rate

BANDS_MAX: Final = 64  # of one call, so that a hold stays small; what changes oftener goes on with the last price
MINUTE_S: Final = 60
WEEK_S: Final = 7 * 24 * 60 * MINUTE_S
EPOCH: Final = datetime(1970, 1, 1, tzinfo=UTC)
EPOCH_OF_WEEK_S: Final = 3 * 24 * 60 * MINUTE_S  # 1970 began on a Thursday
QUARTER_MS: Final = 15 * MINUTE_S * 1000
LAST_S: Final = 253_370_764_800  # the year 9999, where datetime ends


def bands(rate: Rate, periods: Sequence[Period], zone: tzinfo, from_ms: int, to_ms: int) -> tuple[Band, ...]:
    """Return the prices of `rate` from from_ms (Unix time) to to_ms, in order; neighbours differ.

    periods: of the rate set. The last band never ends, at least one is returned.
    """
    priced = [(periods[at.period], at) for at in sorted(rate.periods) if 0 <= at.period < len(periods)]
    minutes = {minute for period, _ in priced for span in period.spans for minute in span}
    edges = sorted(minute * MINUTE_S for minute in minutes if 0 <= minute * MINUTE_S <= WEEK_S)  # no week has others
    found: list[Band] = []
    at_s, end_s = _clamped(from_ms // 1000), _clamped(-(-to_ms // 1000))
    while True:
        offset_s = _offset_s(zone, at_s)
        week_s = (at_s + offset_s + EPOCH_OF_WEEK_S) % WEEK_S
        next_s = _before_a_change(zone, at_s, min(end_s, at_s + _to_next(edges, week_s)), offset_s)
        price = _price_at(priced, week_s // MINUTE_S)
        band = Band(next_s * 1000, *(price[1:] if price else (rate.per_min_micros, rate.connect_micros)))
        if found and found[-1][1:] == band[1:]:
            found.pop()
        found.append(band)
        if next_s >= end_s or len(found) == BANDS_MAX:
            return (*found[:-1], found[-1]._replace(until_ms=0))
        at_s = next_s


def midnights(zone: tzinfo, from_ms: int, to_ms: int) -> list[int]:
    """Return when days begin in `zone` after from_ms and until to_ms (Unix time); a day at most once."""
    found: list[int] = []
    at_ms, end_ms = _next_midnight_ms(zone, from_ms // QUARTER_MS), min(to_ms, LAST_S * 1000)
    while at_ms <= end_ms:
        if at_ms > from_ms:
            found.append(at_ms)
        at_ms = _next_midnight_ms(zone, at_ms // QUARTER_MS + 1)  # a midnight may be amid a quarter: some offsets were
    return found


@lru_cache(maxsize=1_000)
def _next_midnight_ms(zone: tzinfo, quarter: int) -> int:
    """Return the first midnight after the beginning of a quarter of an hour since 1970: calls of it ask only once.

    A midnight that a clock change leaves out is the moment of the change, the first one counts where there are two.
    """
    at_s = _clamped(quarter * QUARTER_MS // 1000)
    day = (EPOCH + timedelta(seconds=at_s)).astimezone(zone)
    midnight, midnight_s = datetime(day.year, day.month, day.day, tzinfo=zone), at_s
    while midnight_s <= at_s:
        midnight += timedelta(days=1)
        midnight_s = (midnight.astimezone(UTC) - EPOCH) // timedelta(seconds=1)
    return midnight_s * 1000


def _price_at(priced: Sequence[tuple[Period, PeriodPrice]], week_min: int) -> PeriodPrice | None:
    return next((at for period, at in priced if any(a <= week_min < b for a, b in period.spans)), None)


def _to_next(edges: Sequence[int], week_s: int) -> int:
    """Return how many seconds after `week_s` of a week the next edge comes."""
    if not edges:
        return WEEK_S
    place = bisect_right(edges, week_s)
    return edges[place] - week_s if place < len(edges) else edges[0] + WEEK_S - week_s


def _before_a_change(zone: tzinfo, at_s: int, to_s: int, offset_s: int) -> int:
    """Return `to_s`, or the first second after `at_s` when clocks show another offset, if that comes before it."""
    if _offset_s(zone, to_s) == offset_s:
        return to_s
    same_s, changed_s = at_s, to_s
    while changed_s - same_s > 1:
        middle_s = (same_s + changed_s) // 2
        if _offset_s(zone, middle_s) == offset_s:
            same_s = middle_s
        else:
            changed_s = middle_s
    return changed_s


def _offset_s(zone: tzinfo, at_s: int) -> int:
    """Return how far clocks in `zone` are ahead of UTC."""
    ahead = (EPOCH + timedelta(seconds=at_s)).astimezone(zone).utcoffset()
    return int(ahead.total_seconds()) if ahead is not None else 0


def _clamped(at_s: int) -> int:
    return max(0, min(at_s, LAST_S))
