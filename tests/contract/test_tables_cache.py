"""What a reader keeps: as much as it has room for; rate sets for ever in their world, and never a moment longer."""

from __future__ import annotations

from typing import Any, cast

import pytest
from hypothesis import settings
from hypothesis import strategies as st
from hypothesis.stateful import RuleBasedStateMachine, precondition, rule, run_state_machine_as_test

from kemi import codec, keys
from kemi.adapters.cache import CACHE_BYTES_MIN, record_bytes
from kemi.adapters.redis_client import RedisClient
from kemi.adapters.redis_tables import Tables
from kemi.core.links import missing
from kemi.core.outcome import Need
from kemi.records import Rate, RateSet, Tariff
from tests.fakes.config_writer import MARKER, ConfigWriter
from tests.fakes.world import ALICE, World

FIELDS = ("4", "44", "442", "4420")
TARIFF, SETS = "tar:1", 3


@pytest.fixture
def world(redis_client: RedisClient) -> World:
    """Load a small world into Redis."""
    made = World()
    ConfigWriter(redis_client).load(made.records, made.rates)
    return made


@pytest.fixture
def tables(redis_client: RedisClient) -> Tables:
    """Make an empty cache."""
    return Tables(redis_client)


def test_the_cache_is_bounded(redis_client: RedisClient) -> None:
    """The least recently used entries go first, when told to; a budget that could not serve a decision is refused."""
    ConfigWriter(redis_client).finish_load()
    small = Tables(redis_client, CACHE_BYTES_MIN)
    fits = CACHE_BYTES_MIN // record_bytes("num:1", 0)
    for first in range(1, fits + 601, 100):
        small.fetch(Need(tuple(keys.number(str(number)) for number in range(first, first + 100))))
        assert small.records["num:1"] is None
    assert small.counts.bytes > CACHE_BYTES_MIN
    assert small.counts.evictions == 0
    small.trim()
    kept = set(small.records)
    assert len(kept) == fits
    assert "num:1" in kept
    assert kept - {"num:1"} == {keys.number(str(number)) for number in range(first + 101 - fits, first + 100)}
    with pytest.raises(ValueError, match="hold"):
        Tables(redis_client, CACHE_BYTES_MIN - 1)


def test_what_a_cache_does_is_counted(tables: Tables, world: World) -> None:
    """Reads that it answered, entries that had to be fetched, and what is there now."""
    tables.fetch(Need((keys.subscriber(ALICE),), "33140000000"))
    counts = tables.counts
    assert (counts.records, counts.record_misses) == (len(tables.records), len(tables.records))
    assert (counts.rates, counts.rate_misses, counts.rate_hits) == (12, 12, 0)
    assert tables.records["acct:5"] == world.records["acct:5"]
    assert tables.rates[1050, "33"] is not None
    assert "acct:5" in tables.records
    with pytest.raises(KeyError):
        _ = tables.records["acct:77"]
    after = tables.counts
    assert (after.record_hits - counts.record_hits, after.rate_hits) == (1, 1)
    tables.fetch(Need((keys.account(5),)))
    assert tables.counts.record_misses == counts.record_misses, "it was there already"


@pytest.mark.usefixtures("world")
def test_rates_stay_when_everything_else_goes(tables: Tables, redis_client: RedisClient) -> None:
    """A rate set never changes in its world: a reader that fell behind, and one that must drop all, keep its prices."""
    tables.fetch(Need((keys.subscriber(ALICE),), "33140000000"))
    rates = dict(tables.rates)
    writer = ConfigWriter(redis_client, fence=2, first_pass=1_000)
    writer.finish_load()
    tables.fetch(Need(("masks",)))
    assert set(tables.records) == {"masks", "rset:1050", "rset:1030", "rset:1020"}
    assert dict(tables.rates) == rates
    tables.clear()
    tables.fetch(Need((keys.tariff(50),)))
    assert missing([keys.tariff(50)], tables.records, tables.rates, "33140000000") == Need((), "33140000000")


@pytest.mark.usefixtures("world")
@pytest.mark.parametrize("part", ["system", "database", "timeline"])
def test_rates_of_another_world_go(tables: Tables, redis_client: RedisClient, part: str) -> None:
    """Another database, or one restored to the past, has other prices under the same numbers."""
    tables.fetch(Need((keys.subscriber(ALICE),), "33140000000"))
    assert tables.rates
    ConfigWriter(redis_client, 2, 1_000, MARKER._replace(**{part: 9})).finish()
    tables.fetch(Need((keys.number("1"),)))
    assert not tables.rates
    assert not {name for name in tables.records if name.startswith("rset:")}
    assert "acct:5" in tables.records, "no name was said to have changed"


@pytest.mark.usefixtures("world")
def test_later_marks_of_the_same_world_change_nothing(tables: Tables, redis_client: RedisClient) -> None:
    """The log grows with every commit."""
    tables.fetch(Need((keys.subscriber(ALICE),), "33140000000"))
    rates = dict(tables.rates)
    ConfigWriter(redis_client, 2, 1_000, MARKER._replace(lsn=MARKER.lsn + 1)).finish()
    tables.fetch(Need((keys.number("1"),)))
    assert dict(tables.rates) == rates


def test_an_absent_rate_set_may_come(redis_client: RedisClient, tables: Tables) -> None:
    """That it has no prices is known only as long as it is absent, and not remembered for ever."""
    ConfigWriter(redis_client).load({"tar:9": Tariff(9, 1, "new", "EUR", 5)}, {})
    tables.fetch(Need(("tar:9",), "4420"))
    assert tables.records["rset:5"] is None
    assert not tables.rates
    assert missing(["tar:9"], tables.records, tables.rates, "4420") == Need((), "4420")
    writer = ConfigWriter(redis_client, fence=2)
    writer.store.add_buckets(5, [("4420", b"here")])
    writer.write({"rset:5": RateSet(5, (Rate(1),))})
    tables.fetch(Need((), held=("rset:5",)))
    assert (5, "4420") not in tables.rates
    tables.fetch(missing(["tar:9"], tables.records, tables.rates, "4420"))
    assert tables.rates[5, "4420"] == b"here"


def test_a_named_rate_set_is_read_again(world: World, tables: Tables, redis_client: RedisClient) -> None:
    """It was written again, so something about it was wrong: the record is dropped, what its buckets are stays."""
    tables.fetch(Need((keys.subscriber(ALICE),), "33140000000"))
    mended = RateSet(1050, (Rate(7),))
    ConfigWriter(redis_client, fence=2, first_pass=1_000).write({"rset:1050": mended})
    tables.fetch(Need((), held=("rset:1050",)))
    assert tables.records["rset:1050"] == mended
    assert tables.records["rset:1030"] == world.records["rset:1030"]
    assert (1050, "33") in tables.rates


def test_functions_of_the_release_before_do_not_tell_the_world() -> None:
    """Then rates are kept while nothing says that everything has changed."""
    client = Scripted()
    tables = Tables(cast("RedisClient", client))
    sets = [b"rset:5", codec.pack_config(1, RateSet(5, (Rate(1),)))]
    client.replies = [
        [b"1", 0, [], sets, [b"5", b"33", b"x"]],
        [b"2", 0, [b"acct:5"], [], []],
        [b"3", 1, [], [], []],
    ]
    for kept in (1, 1, 0):
        tables.fetch(Need(("tar:9",), "33"))
        assert len(tables.rates) == kept


class Scripted:
    """A Redis that says what it is told to."""

    def __init__(self) -> None:
        self.replies: list[list[Any]] = []

    def available(self) -> bool:
        """Tell that it can be asked."""
        return True

    def fcall_ro(self, *_: Any) -> list[Any]:
        """Say the next thing."""
        return self.replies.pop(0)


class Prices(RuleBasedStateMachine):
    """A tariff that points from set to set, while sets come, retire, come back, and are mended; two readers.

    Sets are written and retired as tools/sync/rates.py does: buckets before the record, the record's end before theirs.
    """

    client: RedisClient

    def __init__(self) -> None:
        super().__init__()
        self.client.execute("FLUSHALL")
        self.system = 0
        self.serial = 0
        self.readers = [Tables(self.client), Tables(self.client)]
        self.is_spoiled = False
        self.another_database()

    @rule()
    def another_database(self) -> None:
        """Load over all with other prices under the same numbers."""
        self.system += 1
        next_pass = self.serial = self.serial + 1_000
        self.writer = ConfigWriter(self.client, self.system, next_pass, MARKER._replace(system=self.system))
        self.writer.store.forget()
        self.truth = {number: self._bucket() for number in range(1, SETS + 1)}
        self.living: set[int] = set()
        self.is_spoiled = False
        for number in self.truth:
            self.writer.store.drop_buckets(number)
            self._bring(number)
        self._point(1)
        self.writer.finish_load()

    @rule(number=st.integers(1, SETS))
    def points(self, number: int) -> None:
        """Let the tariff be priced by another set, which is there before it."""
        if number not in self.living:
            self._bring(number)
        self._point(number)

    @rule(number=st.integers(1, SETS))
    def retires(self, number: int) -> None:
        """Take a set out that the tariff does not name."""
        if number != self.pointed and number in self.living:
            self.writer.write({keys.rate_set(number): None})
            self.writer.store.drop_buckets(number)
            self.living.discard(number)

    @precondition(lambda self: not self.is_spoiled)
    @rule()
    def spoils(self) -> None:
        """Let a bucket in use be wrong, as no writer of ours makes it."""
        self.client.execute("HSET", keys.rate_hash(self.pointed), FIELDS[-1], b"wrong")
        self.is_spoiled = True

    @precondition(lambda self: self.is_spoiled)
    @rule()
    def mends(self) -> None:
        """Find all that is wrong and put it right."""
        for number in self.living:
            bucket = (FIELDS[-1], self.truth[number])
            self.writer.store.fenced("tandem_mend_rates_1", (keys.rate_hash(number),), (1, *bucket))
            self.writer.write({keys.rate_set(number): self._record(number)})
        self.is_spoiled = False

    @rule()
    def makes_all_drop_all(self) -> None:
        """As at the beginning of a repair."""
        self.writer.finish_load()

    @rule(reader=st.integers(0, 1), drops=st.sampled_from(("nothing", "what does not fit", "all")))
    def prices(self, reader: int, drops: str) -> None:
        """Price a call: two fetches at most, and by what Redis has."""
        tables = self.readers[reader]
        if drops == "all":
            tables.clear()
        elif drops == "what does not fit":
            tables.trim()
        tables.fetch(Need((), held=(TARIFF, *(keys.rate_set(number) for number in self.truth))))
        for _ in range(2):
            need = missing([TARIFF], tables.records, tables.rates, FIELDS[-1])
            if need.keys:
                tables.fetch(need)
        assert tables.records[TARIFF] == self._tariff(self.pointed)
        assert tables.records[keys.rate_set(self.pointed)] == self._record(self.pointed)
        told = {field: tables.rates[self.pointed, field] for field in FIELDS}
        if not self.is_spoiled:
            assert told == {**dict.fromkeys(FIELDS[:-1]), FIELDS[-1]: self.truth[self.pointed]}

    def _bucket(self) -> bytes:
        self.serial += 1
        return b"bucket %d" % self.serial

    def _bring(self, number: int) -> None:
        self.writer.store.add_buckets(number, [(FIELDS[-1], self.truth[number])])
        self.writer.write({keys.rate_set(number): self._record(number)})
        self.living.add(number)

    def _point(self, number: int) -> None:
        self.pointed = number
        self.writer.write({TARIFF: self._tariff(number)})

    def _tariff(self, number: int) -> Tariff:
        return Tariff(1, 1, "prices", "EUR", number)

    def _record(self, number: int) -> RateSet:
        return RateSet(number, (Rate(self.system * 100 + number),))


def test_a_reader_prices_by_what_redis_has(redis_client: RedisClient) -> None:
    """In any order of all that may become of rate sets, of their database, and of what readers keep."""
    machine = type("PricesOnRedis", (Prices,), {"client": redis_client})
    run_state_machine_as_test(machine, settings=settings(max_examples=60, stateful_step_count=30, deadline=None))
