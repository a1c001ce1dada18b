"""What the NOC ordered, from the stream in Redis into Postgres: a row for each order, however often it is read."""

from __future__ import annotations

from typing import Any, Final

import psycopg

from kemi.adapters.redis_client import RedisClient
from kemi.adapters.redis_locations import order
from kemi.adapters.redis_measures import BEGINNING, Entry, entries, newest

TEXT_MAX: Final = 256
LEVEL_MAX: Final = 9
TIME_MAX_MS: Final = 253_402_300_800_000  # the year 10000
_INSERT: Final = """
insert into tandem.noc_measure(stream_id, at, act, measure, kind, value, until, who, node, why, level)
values (%s, timestamptz 'epoch' + %s * interval '1 millisecond', %s, %s, %s, %s,
        timestamptz 'epoch' + %s * interval '1 millisecond', %s, %s, %s, %s)
on conflict do nothing
"""


class MeasureLog:
    """The stream as one settle process reads it; several may, and each row is written once."""

    def __init__(self, connection: psycopg.Connection[Any]) -> None:
        self._connection = connection
        self._after = BEGINNING

    def step(self, client: RedisClient) -> int:
        """Write what is new, and return how much was read. Raises StoreUnavailable, psycopg errors."""
        found = entries(client, self._after)
        if not found:
            if order(newest(client)) < order(self._after):
                self._after = BEGINNING  # another Redis, or an older one: its stream begins anew
            return 0
        rows = [_row(each) for each in found if _is_storable(each)]
        with self._connection.transaction(), self._connection.cursor() as cursor:
            cursor.executemany(_INSERT, rows)
        self._after = found[-1].id
        return len(found)


def _is_storable(entry: Entry) -> bool:
    """Tell whether Postgres can keep it. What anybody else wrote there stops no settlement."""
    at_ms, _ = order(entry.id)
    fits = max(at_ms, entry.until_ms) < TIME_MAX_MS and entry.until_ms >= 0
    return bool(entry.act) and fits and abs(entry.told.level) <= LEVEL_MAX


def _row(entry: Entry) -> tuple[object, ...]:
    what, told = entry.what, entry.told
    at_ms, _ = order(entry.id)
    words = (told.who, told.node, told.why)
    return (entry.id, at_ms, entry.act, *map(_text, what), entry.until_ms, *map(_text, words), told.level)


def _text(text: str) -> str:
    """Return what Postgres can keep."""
    return text.encode("utf-8", "replace").decode().replace("\0", "")[:TEXT_MAX]
