"""When something holds: times of the week and days of the year, by a clock on the wall.

Rule 1: a day on which a set is open holds from midnight to midnight; else one on which it is shut does not; else the
spans of the week say. Where there are none it holds at all times, or on the open days only, if it names any.
Rule 2: a set that does not exist never holds. A time zone that this node does not know is UTC, and the trace says so.
"""

from __future__ import annotations

from collections.abc import Iterable
from datetime import UTC, datetime, timedelta, tzinfo
from typing import Final

from kemi.core.draft import Draft
from kemi.core.periods import EPOCH, LAST_S
from kemi.records import DayRange, TimeSet

DAY_MIN: Final = 24 * 60
YEARLY_MAX: Final = 1231  # mmdd; what is greater names a year too


def holds_now(draft: Draft, time_set_id: int) -> bool:
    """Tell whether a time set holds when the call comes; 0 = at all times."""
    if not time_set_id:
        return True
    time_set = draft.known.time_set(time_set_id)
    if time_set is None:
        draft.note(f"time set {time_set_id} does not exist: it never holds")
        return False
    zone = UTC if time_set.timezone == "UTC" else draft.facts.zones.get(time_set.timezone)
    if zone is None:
        draft.note(f"time set {time_set_id}: time zone {time_set.timezone} is unknown here, UTC counts")
    return holds(time_set, draft.call.received_ms, zone)


def holds(time_set: TimeSet, now_ms: int, zone: tzinfo | None) -> bool:
    """Tell whether the set holds at `now_ms`, Unix time. zone: of its name, None = UTC."""
    now = (EPOCH + timedelta(seconds=max(0, min(now_ms // 1000, LAST_S)))).astimezone(zone or UTC)
    if _is_among(time_set.open, now):
        return True
    if _is_among(time_set.shut, now):
        return False
    week_min = now.weekday() * DAY_MIN + now.hour * 60 + now.minute
    if not time_set.spans:
        return not time_set.open
    return any(span.from_min <= week_min < span.to_min for span in time_set.spans)


def _is_among(ranges: Iterable[DayRange], now: datetime) -> bool:
    """Tell whether the day is in one of the ranges. A range that returns each year may begin in the one before."""
    day_of_year = now.month * 100 + now.day
    day = now.year * 10_000 + day_of_year
    for first, last in ranges:
        if first > YEARLY_MAX or last > YEARLY_MAX:
            is_in = first <= day <= last
        elif first <= last:
            is_in = first <= day_of_year <= last
        else:
            is_in = day_of_year >= first or day_of_year <= last
        if is_in:
            return True
    return False
