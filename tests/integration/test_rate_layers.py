"""A tariff edited again and again costs, for any number, what the same prices would cost in one flat list."""

from __future__ import annotations

import json
from typing import Any, Final

import psycopg
import pytest
from hypothesis import HealthCheck, given, settings
from hypothesis import strategies as st

from kemi import keys
from kemi.adapters.redis_client import RedisClient
from kemi.adapters.redis_tables import Tables
from kemi.core.outcome import Need
from kemi.core.prefix import longest
from tests.fix_postgres import Database
from tests.sync_pair import SyncPair
from tools.sync.source import Source

NORTH: Final = 6
_DIGIT = st.sampled_from("12")  # few, so that prefixes, fields and numbers meet
PREFIX = st.text(_DIGIT, min_size=1, max_size=7)
PRICE = st.integers(0, 5)
EDITS = st.lists(st.dictionaries(PREFIX, st.none() | PRICE, min_size=1, max_size=6), max_size=12)
NUMBERS = st.lists(st.text(_DIGIT, min_size=1, max_size=9), min_size=1, max_size=12)


def flat(prices: dict[str, int], number: str) -> tuple[str, int] | None:
    """Return the longest prefix of `number` and its price: the rule, in words of its own."""
    fitting = [prefix for prefix in prices if number.startswith(prefix)]
    return max((prefix, prices[prefix]) for prefix in fitting) if fitting else None


def looked_up(tables: Tables, number: str) -> tuple[str, int] | None:
    """Return the same as a worker finds it."""
    tables.fetch(Need((keys.tariff(NORTH),), number))
    tariff: Any = tables.records[keys.tariff(NORTH)]
    found = longest(number, lambda field: tables.rates[tariff.rate_set_id, field])
    rates: Any = tables.records[keys.rate_set(tariff.rate_set_id)]
    return found and (found[0], rates.rates[found[1]].per_min_micros)


class _Tariff:
    """North's retail tariff and, beside it, the prices that it should have."""

    def __init__(self, database: Database) -> None:
        self._database = database
        self.prices: dict[str, int] = {}

    def replace(self, prices: dict[str, int]) -> None:
        """Load a full set."""
        words = [word for prefix, price in prices.items() for word in (prefix, str(price))]
        self._database.run("select world.tariff('North', 'retail', 'EUR', variadic %s::text[])", words)
        self.prices = {prefix: price * 1_000_000 for prefix, price in prices.items()}

    def edit(self, prices: dict[str, int | None]) -> None:
        """Change single prices; what is not there cannot be taken away."""
        said = [
            {"prefix": prefix, "price": None if price is None else {"per_min_micros": price}}
            for prefix, price in prices.items()
            if price is not None or prefix in self.prices
        ]
        if not said:
            return
        self._database.run("select tandem.set_rates_v1(%s, %s)", NORTH, json.dumps(said))
        self.prices |= {prefix: price for prefix, price in prices.items() if price is not None}
        for prefix in [prefix for prefix, price in prices.items() if price is None]:
            self.prices.pop(prefix, None)

    def in_sql(self) -> dict[str, int]:
        """Return the prices that reports see."""
        return dict(
            self._database.run(
                "select prefix, per_min_micros from tandem.rate_effective r"
                " join tandem.tariff t on t.rate_set_id = r.rate_set_id where t.id = %s",
                NORTH,
            )
        )


def test_layered_is_flat(demo_database: Database, redis_client: RedisClient, redis_url: str) -> None:
    """After any edits, by any number: in Redis as a worker reads it, and in Postgres as reports do."""
    pair = SyncPair(demo_database, redis_client, redis_url)
    tariff = _Tariff(demo_database)

    @settings(max_examples=25, deadline=None, suppress_health_check=list(HealthCheck))
    @given(st.dictionaries(PREFIX, PRICE, min_size=1, max_size=20), EDITS, NUMBERS)
    def holds(first: dict[str, int], edits: list[dict[str, int | None]], numbers: list[str]) -> None:
        tariff.replace(first)
        for each in edits:
            tariff.edit(each)
        assert tariff.in_sql() == tariff.prices
        pair.once()
        tables = Tables(redis_client)
        for number in numbers:
            assert looked_up(tables, number) == flat(tariff.prices, number)

    holds()
    pair.assert_equal()


def test_a_worker_follows_each_edit(demo_database: Database, redis_client: RedisClient, redis_url: str) -> None:
    """One that had all prices before has the new one with its next fetch, and only that one fetch."""
    pair = SyncPair(demo_database, redis_client, redis_url)
    tariff = _Tariff(demo_database)
    tariff.replace({"12": 1, "1211": 2})
    pair.once()
    tables = Tables(redis_client)
    assert looked_up(tables, "121122") == ("1211", 2_000_000)
    for price in range(12):
        tariff.edit({"12112": price, "1211": None if price == 5 else price})
        pair.once()
        before = redis_client.round_trips
        assert looked_up(tables, "121122") == ("12112", price)
        assert redis_client.round_trips == before + 1


def test_retired_sets_leave_redis_and_come_back(
    demo_database: Database, redis_client: RedisClient, redis_url: str
) -> None:
    """With all buckets, before the tariff that names them again."""
    pair = SyncPair(demo_database, redis_client, redis_url)
    pair.once()
    tariff = _Tariff(demo_database)
    tariff.replace({"12": 1, "1211": 2})
    tariff.edit({"1211": 3})
    edited = demo_database.one("select rate_set_id from tandem.tariff where id = %s", NORTH)
    tariff.replace({"12": 9})
    pair.once()
    for _ in range(2):
        demo_database.run("select tandem.retire_rate_sets_v1('0 s')")
        pair.once()
    assert redis_client.execute("EXISTS", keys.rate_hash(edited), keys.rate_hash(edited - 1)) == 0
    assert pair.record(keys.rate_set(edited)) is None
    pair.assert_equal()
    tables = Tables(redis_client)
    assert looked_up(tables, "1211") == ("12", 9_000_000)
    demo_database.run("update tandem.tariff set rate_set_id = %s where id = %s", edited, NORTH)
    pair.once()
    assert looked_up(tables, "1211") == ("1211", 3)
    pair.assert_equal()


def test_packing_needs_few_rights(demo_database: Database) -> None:
    """The syncer's role packs and retires; it cannot write rates."""
    source = Source.connect(demo_database.dsn, listen=False)
    assert source.rows("SELECT field FROM tandem.rate_buckets_v1(1, '', ':')")
    assert source.rows("SELECT tandem.retire_rate_sets_v1()") == [(0,)]
    with pytest.raises(psycopg.errors.InsufficientPrivilege):
        source.rows("UPDATE tandem.rate_set SET retired = false")
    source.close()
