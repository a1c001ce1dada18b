"""What talk time costs: the one implementation for hold, extension, settlement, least cost and re-rating.

Rule 1: a price is a function of the total talk time; nobody adds rounded slices.
Rule 2: money is integer micros, time is whole seconds. A price is rounded once, as its tariff says, and once more, up,
where the fund that pays it is kept in another currency.
Rule 3: price is monotone in time, so a hold that pays for t seconds pays for every shorter call.
Rule 4: an increment costs what the band in force when it begins says, the connect fee what that at the answer says.
Until there is an answer, a schedule says the most that any answer in time could cost.
Rule 5: a call that may be answered at several places holds what the dearest of them costs each fund. From the answer on
only the legs of the place that answered count, for everybody and for ever: `legs_at` says which.
"""

from __future__ import annotations

from collections.abc import Iterable, Sequence
from functools import lru_cache
from itertools import repeat
from typing import Final, NamedTuple

from kemi.core.outcome import HoldRow
from kemi.records import Band, PinnedLeg, PinnedTarget, Rate

SCHEDULE_ROWS_MAX: Final = 16
SLICES_MAX: Final = 1_024  # of which it is kept per process where their rows stand, < 1 kB each
SCHEDULES_MAX: Final = 1_024  # of calls whose rates alone say their prices, kept per process, < 8 kB each
COLUMNS_MAX: Final = 4_096  # prices of a rate in the rows of a slice that are kept per process, < 1 kB each
SECONDS_PER_MINUTE: Final = 60
NANOS: Final = 1_000_000_000
MICROS_MAX: Final = 2**53 - 1  # Redis counts in doubles; what costs more costs this, which nobody has
CALL_MICROS_MAX: Final = 2**50  # of a fund: the most that an entry of the ledger can say


def price(rate: Rate, talk_s: int) -> int:
    """Return what `talk_s` seconds cost at `rate`, in micros of the tariff's currency, rounded up to a micro.

    Charged: connect fee, first_s, then each begun next_s; at least min_micros. 0 for no talk time at all. Knows nothing
    of periods and of the tariff's rounding.
    >>> price(Rate(per_min_micros=600_000, first_s=30, next_s=6), 31)
    360000
    """
    if talk_s <= 0:
        return 0
    sixtieths = rate.per_min_micros * _step_end(rate.first_s, rate.next_s, talk_s)
    micros = max(rate.connect_micros - (-sixtieths // SECONDS_PER_MINUTE), rate.min_micros)  # rounded up
    return min(MICROS_MAX, micros)


def cost(leg: PinnedLeg, talk_s: int, answered_ms: int) -> int:
    """Return what the payee of `leg` earns by `talk_s` seconds, in micros of leg.currency, rounded as its tariff says.

    answered_ms: Unix time of the answer, from which the bands count. 0 for no talk time at all.
    """
    if talk_s <= 0:
        return 0
    if leg.round_to_micros == 1 and not leg.bands and leg.rounding == "up":  # the rate alone says it
        return price(leg.rate, talk_s)
    sixtieths = _banded(leg, talk_s, answered_ms) if leg.bands else _unbanded(leg.rate, talk_s)
    unit = max(1, leg.round_to_micros)
    least = leg.rate.min_micros * SECONDS_PER_MINUTE
    return min(_divided(max(sixtieths, least), SECONDS_PER_MINUTE * unit, leg.rounding) * unit, MICROS_MAX)


def charge(leg: PinnedLeg, talk_s: int, answered_ms: int) -> int:
    """Return what the fund of `leg` pays for `talk_s` seconds, in micros of the fund's currency.

    That is the cost, by the pinned exchange rate and rounded up to a micro where the currencies differ.
    """
    micros = cost(leg, talk_s, answered_ms)
    return exchanged(micros, leg.exchange_nanos) if leg.exchange_nanos else micros


def charges(legs_by_fund: Sequence[Sequence[PinnedLeg]], talk_s: int, answered_ms: int) -> tuple[int, ...]:
    """Return what each fund pays for `talk_s` seconds: the sum over its legs, each rounded by itself."""
    return tuple(min(MICROS_MAX, sum(charge(leg, talk_s, answered_ms) for leg in legs)) for legs in legs_by_fund)


def exchanged(micros: int, nanos: int) -> int:
    """Return what `micros` cost in a currency of which `nanos` / 10^9 buy one unit, rounded up to a micro.

    >>> exchanged(100, 920_000_001)
    93
    """
    return min(_ceil_div(micros * nanos, NANOS), MICROS_MAX)


def schedule(
    legs_by_fund: Sequence[Sequence[PinnedLeg]], from_s: int, to_s: int, answered_ms: int, until_ms: int = 0
) -> tuple[HoldRow, ...]:
    """Return at most 16 rows that a hold or an extension may grant, talk_s rising in (from_s, to_s], the last = to_s.

    legs_by_fund: per fund, the legs that it pays. from_s: what is granted already, 0 at the start. Prices are
    cumulative from 0. Empty when to_s ≤ from_s. What costs a fund more than CALL_MICROS_MAX has no row: then the last
    one is before to_s, and there may be none. answered_ms: Unix time of the answer. until_ms > answered_ms: there is
    no answer yet, it may come at any time from answered_ms to until_ms, and no row is below what it then costs.

    Each row but the last ends an increment of some rate. The first is the nearest such end, the others spread
    geometrically: who takes the largest row that can be paid and asks again from there arrives at the last second
    that can be paid, in a number of steps that grows with the logarithm of the slice.
    """
    return worst_schedule((legs_by_fund,), from_s, to_s, answered_ms, until_ms)


def worst_schedule(
    ways: Sequence[Sequence[Sequence[PinnedLeg]]], from_s: int, to_s: int, answered_ms: int, until_ms: int = 0
) -> tuple[HoldRow, ...]:
    """Return the same for a call that goes one of several ways (≥ 1): each fund holds what the dearest costs it.

    ways: legs_by_fund of each, all with the same funds. They exclude each other, so nothing is added up.
    """
    if to_s <= from_s:
        return ()
    if len(ways) == 1 and all(_is_of_rate(leg) for legs in ways[0] for leg in legs):
        return _rate_schedule(tuple([tuple([leg.rate for leg in legs]) for legs in ways[0]]), from_s, to_s)
    window_ms = max(0, until_ms - answered_ms)
    known = [
        [[_dearest(leg, to_s, answered_ms, window_ms) if leg.bands else leg for leg in legs] for legs in funds]
        for funds in ways
    ]
    paid = [leg for funds in known for legs in funds for leg in legs]
    steps = frozenset([(leg.rate.first_s, leg.rate.next_s) for leg in paid if _has_increments(leg)])
    of = _Slice(steps, from_s, to_s)
    of_ways = [[_column(legs, of, answered_ms) for legs in funds] for funds in known]
    return _rows(
        of, of_ways[0] if len(of_ways) == 1 else [list(map(max, *each)) for each in zip(*of_ways, strict=True)]
    )


@lru_cache(maxsize=SCHEDULES_MAX)
def _rate_schedule(rates_by_fund: tuple[tuple[Rate, ...], ...], from_s: int, to_s: int) -> tuple[HoldRow, ...]:
    """Return the same where the rates alone say it. Tenants share a few price lists, and so do their calls."""
    paid = [rate for rates in rates_by_fund for rate in rates]
    of = _Slice(frozenset([(rate.first_s, rate.next_s) for rate in paid if rate.per_min_micros]), from_s, to_s)
    return _rows(of, [_sum([_rate_column(rate, of) for rate in rates], of) for rates in rates_by_fund])


def _rows(of: _Slice, columns: Sequence[Sequence[int]]) -> tuple[HoldRow, ...]:
    """Return the rows that are possible. columns: what each fund pays."""
    prices = zip(*columns, strict=True) if columns else repeat(())
    rows = tuple(map(HoldRow, _stops(of), prices))
    return rows if _is_possible(rows[-1]) else tuple(filter(_is_possible, rows))


def raised(rows: Iterable[HoldRow], held_micros: Sequence[int]) -> tuple[HoldRow, ...]:
    """Return the rows of an extension, none below what each fund holds already.

    A hold made before the answer may have been dearer than the call turned out to be, and no extension lowers a hold.
    """
    return tuple(row._replace(price_micros=tuple(map(max, row.price_micros, held_micros))) for row in rows)


def by_fund(legs: Iterable[PinnedLeg], funds: Sequence[str]) -> list[list[PinnedLeg]]:
    """Return for each of `funds` the legs that it pays. A leg of another fund, or of none, is left out."""
    paid: dict[str, list[PinnedLeg]] = {fund: [] for fund in funds}
    for leg in legs:
        if leg.fund in paid:
            paid[leg.fund].append(leg)
    return [paid[fund] for fund in funds]


def legs_at(legs: Sequence[PinnedLeg], targets: Sequence[PinnedTarget], place: int) -> tuple[PinnedLeg, ...]:
    """Return the legs of a call that are paid where targets[place] answered it: those of its forwards, and of none.

    A place that no target has, such as -1 for one that is not known: no forward is paid for, since none is proven.
    """
    return _behind(legs, targets[place].forwards if 0 <= place < len(targets) else ())


def alternatives(legs: Sequence[PinnedLeg], targets: Iterable[PinnedTarget]) -> tuple[tuple[PinnedLeg, ...], ...]:
    """Return what may have to be paid, by where the call is answered: at least one, each as `legs_at` says it."""
    if not any(leg.forward for leg in legs):
        return (tuple(legs),)
    return tuple([_behind(legs, forwards) for forwards in dict.fromkeys(target.forwards for target in targets)])


def _behind(legs: Sequence[PinnedLeg], forwards: Sequence[int]) -> tuple[PinnedLeg, ...]:
    return tuple([leg for leg in legs if not leg.forward or leg.forward in forwards])


def _is_possible(row: HoldRow) -> bool:
    return max(row.price_micros, default=0) <= CALL_MICROS_MAX


Step = tuple[int, int]
"""first_s and next_s of a rate."""


class _Slice(NamedTuple):
    """What a schedule reaches over, and the steps of all that pay for it: where its rows stand follows from these."""

    steps: frozenset[Step]
    from_s: int
    to_s: int


@lru_cache(maxsize=SLICES_MAX)
def _stops(of: _Slice) -> tuple[int, ...]:
    """Return the seconds of the rows. Most calls share their increments and the slice, so they are kept."""
    steps, from_s, to_s = of
    at_s = _boundary(steps, from_s + 1, to_s)
    first_gap_s = at_s - from_s
    spread = (to_s - from_s) / first_gap_s
    found = [at_s]
    while at_s < to_s:
        row = len(found)
        wanted_s = from_s + int(first_gap_s * spread ** (row / (SCHEDULE_ROWS_MAX - 1)))
        is_last = row == SCHEDULE_ROWS_MAX - 1
        at_s = to_s if is_last else _boundary(steps, max(wanted_s, at_s + 1), to_s)
        found.append(at_s)
    return tuple(found)


def _column(legs: Sequence[PinnedLeg], of: _Slice, answered_ms: int) -> Sequence[int]:
    """Return what one fund pays in each row. Nothing is capped here: a row that would be is left out anyway."""
    return _sum([_leg_column(leg, of, answered_ms) for leg in legs], of)


def _sum(columns: Sequence[Sequence[int]], of: _Slice) -> Sequence[int]:
    if len(columns) == 1:
        return columns[0]
    return [sum(prices) for prices in zip(*columns, strict=True)] if columns else [0] * len(_stops(of))


def _leg_column(leg: PinnedLeg, of: _Slice, answered_ms: int) -> Sequence[int]:
    """Return the charge of a leg in each row."""
    if _is_of_rate(leg):
        return _rate_column(leg.rate, of)
    return [charge(leg, talk_s, answered_ms) for talk_s in _stops(of)]


def _is_of_rate(leg: PinnedLeg) -> bool:
    """Whether the rate alone says what a leg costs its fund."""
    return not (leg.bands or leg.exchange_nanos) and leg.round_to_micros == 1 and leg.rounding == "up"


@lru_cache(maxsize=COLUMNS_MAX)
def _rate_column(rate: Rate, of: _Slice) -> tuple[int, ...]:
    """Return the same where the rate alone says it. A level's rates are few, and every call of it asks for one."""
    return tuple(price(rate, talk_s) for talk_s in _stops(of))


def _has_increments(leg: PinnedLeg) -> bool:
    return bool(leg.rate.per_min_micros) or any(band.per_min_micros for band in leg.bands)


def _dearest(leg: PinnedLeg, to_s: int, answered_ms: int, window_ms: int) -> PinnedLeg:
    """Return a leg that costs, answered at answered_ms, what `leg` costs at most if answered within the window after.

    It is right up to `to_s` seconds. Each of its bands has the dearest prices that an increment could meet which may
    begin up to window_ms later. window_ms 0: the cost of `leg` itself, in no more bands than that takes.
    """
    if not leg.bands:
        return leg
    end_ms = answered_ms + to_s * 1000
    edges = {end_ms}
    for band in leg.bands:
        edges.update(at_ms for at_ms in (band.until_ms - window_ms, band.until_ms) if answered_ms < at_ms < end_ms)
    bands: list[Band] = []
    begin_ms = answered_ms
    for until_ms in sorted(edges):
        met = _met(leg.bands, begin_ms, begin_ms + window_ms)
        band = Band(until_ms, max(b.per_min_micros for b in met), max(b.connect_micros for b in met))
        if bands and bands[-1][1:] == band[1:]:
            bands.pop()
        bands.append(band)
        begin_ms = until_ms
    if len(bands) > 1:
        return leg._replace(bands=(*bands[:-1], bands[-1]._replace(until_ms=0)))
    rate = leg.rate._replace(per_min_micros=bands[0].per_min_micros, connect_micros=bands[0].connect_micros)
    return leg._replace(rate=rate, bands=())


def _met(bands: Sequence[Band], from_ms: int, to_ms: int) -> list[Band]:
    """Return the bands in force somewhere between the two times, both included; at least one."""
    met: list[Band] = []
    for band in bands:
        if from_ms < band.until_ms or not band.until_ms:
            met.append(band)
        if to_ms < band.until_ms or not band.until_ms:
            break
    return met or [bands[-1]]


def _unbanded(rate: Rate, talk_s: int) -> int:
    """Return connect fee and increments in sixtieths of a micro, not rounded."""
    return rate.connect_micros * SECONDS_PER_MINUTE + rate.per_min_micros * _increment_end(rate, talk_s)


def _banded(leg: PinnedLeg, talk_s: int, answered_ms: int) -> int:
    """Return the same by the bands: each increment at the price in force when it begins. The last band never ends."""
    sixtieths, priced_s = 0, 0
    for place, band in enumerate(leg.bands, 1):
        begun_s = talk_s  # the increments of this band begin before this second
        if band.until_ms and place < len(leg.bands):
            begun_s = min(talk_s, _ceil_div(band.until_ms - answered_ms, 1000))
        if begun_s <= 0:
            continue
        if not priced_s:
            sixtieths = band.connect_micros * SECONDS_PER_MINUTE
        end_s = max(priced_s, _increment_end(leg.rate, begun_s))
        sixtieths += band.per_min_micros * (end_s - priced_s)
        priced_s = end_s
        if begun_s >= talk_s:
            break
    return sixtieths


def _divided(dividend: int, divisor: int, rounding: str) -> int:
    """Return the quotient, rounded as a tariff names it; any other word means up."""
    quotient, rest = divmod(dividend, divisor)
    match rounding:
        case "down":
            return quotient
        case "half_up":
            return quotient + (2 * rest >= divisor)
        case "half_even":
            return quotient + (2 * rest > divisor or (2 * rest == divisor and quotient % 2))
        case _:
            return quotient + (rest > 0)


def _increment_end(rate: Rate, talk_s: int) -> int:
    """Return the last second of the increment that second `talk_s` (≥ 1) falls into: what is charged for it."""
    return _step_end(rate.first_s, rate.next_s, talk_s)


def _step_end(first_s: int, next_s: int, talk_s: int) -> int:
    """As above. Increments of 0 s, which only a broken record has, would never end and count as 1 s."""
    first_s = first_s if first_s > 0 else 1
    if talk_s <= first_s:
        return first_s
    next_s = next_s if next_s > 0 else 1
    return first_s - (first_s - talk_s) // next_s * next_s


def _boundary(steps: Iterable[Step], talk_s: int, to_s: int) -> int:
    """Return the last second up to `to_s` that costs every fund what `talk_s` costs."""
    ends = (_step_end(first_s, next_s, talk_s) for first_s, next_s in steps)
    return min(to_s, min(ends, default=to_s))


def _ceil_div(dividend: int, divisor: int) -> int:
    return -(-dividend // divisor)
