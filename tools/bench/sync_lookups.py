"""What a price costs a worker that has never seen it, in a large table and in a small one: a round trip and a search.

A worker's own classes do it, as the worker's user. Numbers are fresh ones each time, and tables alternate, so that a
change of the machine's mood hits both.
"""

from __future__ import annotations

import random
import statistics
import time
from collections.abc import Sequence
from contextlib import closing
from typing import Final, NamedTuple

from kemi import keys
from kemi.adapters.redis_client import RedisClient
from kemi.adapters.redis_tables import Tables
from kemi.core.known import Known
from kemi.core.outcome import Need
from kemi.core.request import Facts
from tools.bench.sync_stream import TIMEOUT_MS
from tools.bench.sync_world import numbers
from tools.errors import OperatorError

ROUNDS: Final = 9
LOOKUPS: Final = 300  # of each table in a round


class Table(NamedTuple):
    """A tariff, the rate set in force, and how many rates that has."""

    tariff_id: int
    rate_set_id: int
    rates: int


class Lookups(NamedTuple):
    """Microseconds of a cold lookup: medians of each round, and of those. ratio: median of the rounds' ratios."""

    large_us: float
    small_us: float
    ratio: float


def lookups(worker_url: str, large: Table, small: Table) -> Lookups:
    """Measure. Raises OperatorError when a number has no price."""
    draw = random.Random(11)  # noqa: S311  a benchmark
    rounds = []
    with closing(RedisClient(worker_url, TIMEOUT_MS)) as client:
        tables = Tables(client)
        for table in (large, small):
            _one(tables, table, numbers(table.rates, 1, draw)[0])
        for _ in range(ROUNDS):
            both = [(table, numbers(table.rates, LOOKUPS, draw)) for table in (large, small)]
            rounds.append(_round(tables, both))
    large_us, small_us = (statistics.median(column) for column in zip(*rounds, strict=True))
    return Lookups(large_us, small_us, statistics.median(one / other for one, other in rounds))


def _round(tables: Tables, both: Sequence[tuple[Table, Sequence[str]]]) -> tuple[float, float]:
    """Return the median lookup of each table, one number of each in turn."""
    (large, large_numbers), (small, small_numbers) = both
    waits: tuple[list[float], list[float]] = ([], [])
    for first, second in zip(large_numbers, small_numbers, strict=True):
        waits[0].append(_one(tables, large, first))
        waits[1].append(_one(tables, small, second))
    return statistics.median(waits[0]), statistics.median(waits[1])


def _one(tables: Tables, table: Table, number: str) -> float:
    """Return the microseconds from knowing nothing of a number to its price class."""
    began_ns = time.perf_counter_ns()
    tables.fetch(Need((keys.tariff(table.tariff_id),), number))
    known = Known(Facts(tables.records, tables.rates, "bench", b""))
    found = known.longest_rate(table.tariff_id, table.rate_set_id, number)
    took_us = (time.perf_counter_ns() - began_ns) / 1e3
    if found is None:
        raise OperatorError(f"{number} has no price in rate set {table.rate_set_id}")
    return took_us
