"""Money, times and dates as the corpus writes them."""

from __future__ import annotations

from datetime import UTC, datetime
from decimal import Decimal
from functools import cache
from typing import Final
from zoneinfo import ZoneInfo

from kemi.records import DayRange, Rate, Span

DAYS: Final = ("Mo", "Tu", "We", "Th", "Fr", "Sa", "Su")
DAY_MIN: Final = 24 * 60


def micros(text: str) -> int:
    """Return an amount: "0.02" is 20000."""
    exact = Decimal(text) * 1_000_000
    if exact != int(exact):
        raise ValueError(f"{text} is finer than a micro")
    return int(exact)


@cache
def rate(text: str) -> Rate:
    """Return a price: `per minute[+connect fee][/first_s/next_s][>minimum]`, or "forbidden"."""
    if text == "forbidden":
        return Rate(0, forbidden=True)
    rest, _, least = text.partition(">")
    rest, _, increments = rest.partition("/")
    per_min, _, connect = rest.partition("+")
    first, _, following = (increments or "1/1").partition("/")
    return Rate(
        micros(per_min),
        int(first),
        int(following),
        connect_micros=micros(connect or "0"),
        min_micros=micros(least or "0"),
    )


def unix_ms(text: str) -> int:
    """Return a moment: `2026-06-03T12:00` or `2026-06-03`, in UTC or, behind @, in a time zone."""
    moment, _, zone = text.partition("@")
    local = datetime.fromisoformat(moment).replace(tzinfo=ZoneInfo(zone) if zone else UTC)
    return round(local.timestamp() * 1000)


def spans(text: str) -> tuple[Span, ...]:
    """Return times of the week: `Mo-Fr 08:00-18:00, Sa 09:00-13:00`."""
    found: list[Span] = []
    for part in text.split(","):
        if part.strip():
            days, hours = part.split()
            first, _, last = days.partition("-")
            begin, end = (_minutes(hour) for hour in hours.split("-"))
            found.extend(
                Span(day * DAY_MIN + begin, day * DAY_MIN + end)
                for day in range(DAYS.index(first), DAYS.index(last or first) + 1)
            )
    return tuple(found)


def day_ranges(text: str) -> tuple[DayRange, ...]:
    """Return days: `1224-106, 20260604`; mmdd returns each year."""
    found: list[DayRange] = []
    for part in text.split(","):
        if part.strip():
            first, _, last = part.strip().partition("-")
            found.append(DayRange(int(first), int(last or first)))
    return tuple(found)


def _minutes(text: str) -> int:
    hours, minutes = text.split(":")
    return int(hours) * 60 + int(minutes)
