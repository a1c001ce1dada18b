"""Other times of the week at which prices and rules are not those of now."""

from __future__ import annotations

from collections.abc import Iterable, Iterator
from datetime import UTC, datetime, timedelta, tzinfo
from typing import Final

from kemi import keys
from kemi.adapters.zones import Zones
from kemi.records import RateSet, Span, Tariff, TimeSet
from tools.sql_tables import SqlTables

MOMENTS_MAX: Final = 24  # for one account: each is as much work as now
MS: Final = 1_000  # of a second
WEEK_MIN: Final = 7 * 24 * 60


def turning_points(
    tables: SqlTables, tariffs: Iterable[tuple[Tariff, int]], time_set_ids: Iterable[int], at_ms: int
) -> list[int]:
    """Return when, in the week after at_ms, periods and time sets begin or end; Unix time, rising.

    tariffs: each with its rate set. Of more than 24 the first ones.
    """
    zones, found = Zones(), set[int]()
    for tariff, set_id in tariffs:
        rates = tables.records.get(keys.rate_set(set_id))
        spans = [span for period in rates.periods for span in period.spans] if isinstance(rates, RateSet) else []
        found.update(_next(spans, zones.get(tariff.timezone, UTC), at_ms))
    for time_set_id in time_set_ids:
        time_set = tables.records.get(keys.time_set(time_set_id))
        if isinstance(time_set, TimeSet):
            found.update(_next(time_set.spans, zones.get(time_set.timezone, UTC), at_ms))
    return sorted(found)[:MOMENTS_MAX]


def _next(spans: Iterable[Span], zone: tzinfo, at_ms: int) -> Iterator[int]:
    """Yield the next time at which each span begins, and ends, by a clock on the wall."""
    now = datetime.fromtimestamp(at_ms / MS, zone)
    monday = datetime(now.year, now.month, now.day, tzinfo=zone) - timedelta(days=now.weekday())
    for minute in {minute % WEEK_MIN for span in spans for minute in span}:
        for week in (0, 1):
            moment = int((monday + timedelta(weeks=week, minutes=minute)).timestamp() * MS)
            if moment > at_ms:
                yield moment
                break
