"""When time sets hold."""

from __future__ import annotations

from datetime import UTC, datetime
from zoneinfo import ZoneInfo

import pytest

from kemi.core.draft import Draft
from kemi.core.time_sets import holds, holds_now
from kemi.records import DayRange, Span, TimeSet
from tests.fakes.world import NOW_MS, World, invite

BERLIN = ZoneInfo("Europe/Berlin")
OFFICE = TimeSet(1, "office", "Europe/Berlin", tuple(Span(day * 1440 + 480, day * 1440 + 1080) for day in range(5)))


def at(text: str) -> int:
    """Return a time of Berlin as Unix time, in milliseconds."""
    return int(datetime.fromisoformat(text).replace(tzinfo=BERLIN).timestamp() * 1000)


@pytest.mark.parametrize(
    ("time", "expected"),
    [
        ("2026-11-23 08:00", True),
        ("2026-11-23 07:59:59.999", False),
        ("2026-11-23 17:59:59", True),
        ("2026-11-23 18:00", False),
        ("2026-11-22 12:00", False),
        ("2026-07-06 08:00", True),
        ("2026-07-06 07:59", False),
    ],
)
def test_a_span_is_what_clocks_on_the_wall_show(time: str, expected: bool) -> None:
    """From the first minute to the one before the last, in summer and in winter."""
    assert holds(OFFICE, at(time), BERLIN) is expected


def test_without_spans_open_days_are_the_only_ones() -> None:
    """Holidays only is written so; a day that is shut too is open, as everywhere."""
    leap_day = DayRange(20280229, 20280229)
    holidays = TimeSet(1, "holidays", "UTC", open=(leap_day,))
    assert holds(holidays, at("2028-02-29 12:00"), None)
    assert not holds(holidays, at("2028-05-01 12:00"), None)
    assert not holds(holidays._replace(shut=(DayRange(101, 102),)), at("2028-05-01 12:00"), None)


def test_without_spans_it_always_holds() -> None:
    """An empty set says nothing about the week."""
    assert holds(TimeSet(1, "always", "UTC"), NOW_MS, None)


@pytest.mark.parametrize(
    ("days", "time", "expected"),
    [
        (DayRange(20261124, 20261124), "2026-11-24 09:00", False),
        (DayRange(20261124, 20261124), "2026-11-23 09:00", True),
        (DayRange(20251124, 20251130), "2026-11-24 09:00", True),
        (DayRange(1124, 1125), "2026-11-25 09:00", False),
        (DayRange(1124, 1125), "2027-11-24 09:00", False),
        (DayRange(1224, 106), "2026-12-31 09:00", False),
        (DayRange(1224, 106), "2027-01-06 09:00", False),
        (DayRange(1224, 106), "2027-01-07 09:00", True),
        (DayRange(1224, 106), "2026-12-23 09:00", True),
    ],
)
def test_a_day_that_is_shut_does_not_hold(days: DayRange, time: str, expected: bool) -> None:
    """Both ends included; a range without a year comes back, over the new year too."""
    assert holds(OFFICE._replace(shut=(days,)), at(time), BERLIN) is expected


def test_an_open_day_holds_from_midnight_to_midnight() -> None:
    """Whatever the week says, and though the same day is shut."""
    sunday = DayRange(20261122, 20261122)
    special = OFFICE._replace(open=(sunday,), shut=(sunday,))
    assert holds(special, at("2026-11-22 00:00"), BERLIN)
    assert holds(special, at("2026-11-22 23:59:59"), BERLIN)
    assert not holds(special, at("2026-11-21 23:59:59"), BERLIN)
    assert not holds(special, at("2026-11-23 00:00"), BERLIN)


@pytest.mark.parametrize("now_ms", [-1, 0, 1 << 50])
def test_any_time_can_be_asked(now_ms: int) -> None:
    """A clock far off is no reason to fail."""
    assert holds(OFFICE, now_ms, UTC) in {True, False}


def test_no_set_is_always() -> None:
    """0 names none."""
    draft = Draft(invite(), World().facts())
    assert holds_now(draft, 0)
    assert not draft.trace


def test_a_missing_set_never_holds() -> None:
    """And the trace says so."""
    draft = Draft(invite(), World().facts())
    assert not holds_now(draft, 9)
    assert draft.trace == ("time set 9 does not exist: it never holds",)


def test_an_unknown_zone_is_utc() -> None:
    """NOW_MS is a Monday, 02:40 UTC."""
    world = World()
    world.put("tset:9", TimeSet(9, "night", "Mars/Olympus", (Span(160, 161),)))
    draft = Draft(invite(), world.facts())
    assert holds_now(draft, 9)
    assert draft.trace == ("time set 9: time zone Mars/Olympus is unknown here, UTC counts",)
    assert "tset:9" in draft.known.used
