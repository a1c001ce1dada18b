"""Laws of periods: what bands say at any instant is what clocks on the wall say, clock changes included."""

from __future__ import annotations

from datetime import UTC, datetime, timedelta, tzinfo
from fractions import Fraction
from itertools import pairwise
from math import ceil
from zoneinfo import ZoneInfo

from hypothesis import example, given
from hypothesis import strategies as st

from kemi.core.periods import BANDS_MAX, bands, midnights
from kemi.core.rating import charge
from kemi.records import Period, PeriodPrice, PinnedLeg, Rate, Span
from tests.property.strategies import LAW

DAY_MS = 86_400_000
ZONES = (
    "UTC",
    "Europe/Berlin",
    "America/St_Johns",  # 3½ h behind
    "Australia/Lord_Howe",  # changes its clocks by half an hour
    "Asia/Kathmandu",
    "Africa/Casablanca",  # changes them around Ramadan
    "Pacific/Apia",  # had no 30 December 2011
)
CHANGES = tuple(
    int(datetime(*day, tzinfo=UTC).timestamp()) * 1000
    for day in ((2026, 3, 29), (2026, 10, 25), (2026, 3, 8), (2026, 11, 1), (2026, 4, 4), (2026, 2, 15), (2011, 12, 30))
)
"""Days on which clocks change somewhere."""

instants = st.one_of(
    st.builds(lambda day, more: day + more, st.sampled_from(CHANGES), st.integers(-DAY_MS, DAY_MS)),
    st.integers(0, 4_000_000_000_000),
)
minutes = st.one_of(
    st.sampled_from((0, 120, 150, 180, 1_260, 1_440, 8_640, 8_760, 8_820, 10_080)), st.integers(0, 10_080)
)
spans = st.tuples(minutes, minutes).filter(lambda pair: pair[0] != pair[1]).map(lambda pair: Span(*sorted(pair)))
periods = st.builds(Period, st.just("p"), st.lists(spans, min_size=1, max_size=3).map(tuple))
plans = st.lists(periods, min_size=1, max_size=3)
rates = st.builds(
    Rate,
    per_min_micros=st.just(1_000),
    first_s=st.sampled_from((1, 30, 60)),
    next_s=st.sampled_from((1, 6, 60)),
    connect_micros=st.just(7),
    min_micros=st.sampled_from((0, 0, 100)),
    periods=st.lists(
        st.builds(PeriodPrice, st.integers(0, 3), st.integers(0, 5_000), st.integers(0, 50)),
        max_size=3,
        unique_by=lambda at: at.period,
    ).map(tuple),
)


def by_the_clock(rate: Rate, plan: list[Period], zone: ZoneInfo, at_ms: int) -> tuple[int, int]:
    """Return price of a minute and of an answer at an instant, read off a clock on the wall."""
    wall = (datetime(1970, 1, 1, tzinfo=UTC) + timedelta(milliseconds=at_ms)).astimezone(zone)
    minute = wall.weekday() * 1440 + wall.hour * 60 + wall.minute
    of_class = {at.period: at for at in rate.periods}
    for place, period in enumerate(plan):
        if place in of_class and any(span.from_min <= minute < span.to_min for span in period.spans):
            return of_class[place].per_min_micros, of_class[place].connect_micros
    return rate.per_min_micros, rate.connect_micros


@LAW
@given(
    span=st.builds(Span, st.integers(-(2**63), 2**63), st.integers(-(2**63), 2**63)),
    from_ms=st.integers(-(2**63), 2**63),
    zone=st.sampled_from((UTC, ZoneInfo("Pacific/Kiritimati"), ZoneInfo("America/New_York"))),
)
def test_no_span_and_no_moment_raises(span: Span, from_ms: int, zone: tzinfo) -> None:
    """Also those that Postgres refuses, and in the year 9999."""
    rate = Rate(5, periods=(PeriodPrice(0, 1),))
    assert bands(rate, (Period("odd", (span,)),), zone, from_ms, from_ms + 14_400_000)[-1].until_ms == 0
    midnights(zone, from_ms, from_ms + 14_400_000)


@LAW
@given(
    rate=rates,
    plan=plans,
    zone=st.sampled_from(ZONES),
    from_ms=instants,
    length_ms=st.integers(0, DAY_MS),
    data=st.data(),
)
def test_bands_say_what_the_clock_says(
    rate: Rate, plan: list[Period], zone: str, from_ms: int, length_ms: int, data: st.DataObject
) -> None:
    """At every instant from the beginning to the end; the bands rise and neighbours differ."""
    found = bands(rate, plan, ZoneInfo(zone), from_ms, from_ms + length_ms)
    ends = [band.until_ms for band in found]
    assert ends[-1] == 0
    assert ends[:-1] == sorted({end for end in ends if end})
    assert len(found) <= BANDS_MAX
    assert all(a[1:] != b[1:] for a, b in pairwise(found))
    near = [end + shift for end in ends[:-1] for shift in (-1, 0)]
    for at_ms in (*near, from_ms, from_ms + data.draw(st.integers(0, length_ms)), from_ms + length_ms - 1):
        if from_ms <= at_ms < from_ms + length_ms:
            band = next(band for band in found if not band.until_ms or at_ms < band.until_ms)
            assert band[1:] == by_the_clock(rate, plan, ZoneInfo(zone), at_ms)


@LAW
@given(rate=rates, plan=plans, zone=st.sampled_from(ZONES), answered_ms=instants, talk_s=st.integers(1, 7_300))
@example(
    rate=Rate(1_000, periods=(PeriodPrice(0, 100),)),
    plan=[Period("night", (Span(8_640 + 120, 8_640 + 180),))],  # Sunday 02:00 … 03:00, twice on 25 October
    zone="Europe/Berlin",
    answered_ms=CHANGES[1] - 60_000,
    talk_s=7_300,
)
def test_a_call_costs_what_the_clock_said_at_each_increment(
    rate: Rate, plan: list[Period], zone: str, answered_ms: int, talk_s: int
) -> None:
    """Over periods and clock changes: the same as looking at the wall whenever an increment begins."""
    place = ZoneInfo(zone)
    pinned = bands(rate, plan, place, answered_ms - 30_000, answered_ms + talk_s * 1000)
    leg = PinnedLeg(1, 5, 2, "EUR", "5:EUR", 1, 1, "44", rate, pinned)
    sixtieths, begun_s = by_the_clock(rate, plan, place, answered_ms)[1] * 60, 0
    while begun_s < talk_s:
        step_s = rate.next_s if begun_s else rate.first_s
        sixtieths += by_the_clock(rate, plan, place, answered_ms + begun_s * 1000)[0] * step_s
        begun_s += step_s
    assert charge(leg, talk_s, answered_ms) == max(ceil(Fraction(sixtieths, 60)), rate.min_micros)


@LAW
@given(st.sampled_from(ZONES), instants, st.integers(0, 90_000))
@example("America/Havana", int(datetime(2026, 11, 1, 3, tzinfo=UTC).timestamp()) * 1000, 86_400)
@example("America/Santiago", int(datetime(2026, 9, 6, 3, tzinfo=UTC).timestamp()) * 1000, 86_400)
@example("UTC", 400_000_000_000_000, 86_400)
def test_midnights_are_where_the_date_changes(name: str, from_ms: int, length_s: int) -> None:
    """Every change of the date within the time is among them, and each lies within it."""
    zone, to_ms = ZoneInfo(name), from_ms + length_s * 1000
    found = midnights(zone, from_ms, to_ms)
    assert found == sorted(found)
    assert all(from_ms < at_ms <= to_ms for at_ms in found)
    if to_ms < 4_100_000_000_000:
        dates = [datetime.fromtimestamp(at_ms / 1000, zone).date() for at_ms in (from_ms, *found, to_ms)]
        assert len(set(dates)) <= len(found) + 1
        for at_ms in found:
            before, after = (datetime.fromtimestamp(at_ms / 1000 + more, zone).date() for more in (-1, 0))
            assert before < after
