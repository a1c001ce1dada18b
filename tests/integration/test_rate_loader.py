"""Large rate sets are carried beside the passes, and what stands in Redis is compared for ever."""

from __future__ import annotations

from collections.abc import Iterator
from contextlib import closing
from typing import Final

import pytest

from kemi import keys
from kemi.adapters.redis_client import RedisClient
from tests.fix_postgres import Database
from tests.sync_pair import SyncPair
from tests.wait import until
from tools.sync import rate_loader
from tools.sync.rate_loader import RateLoader
from tools.sync.rates import Rates
from tools.sync.source import OutboxRow, Source
from tools.sync.store import FencedError, Store

NORTH: Final = 6
LARGE: Final = """
with made as (
  insert into tandem.rate_set(tariff_id, version) select 6, 1 + max(version) from tandem.rate_set where tariff_id = 6
  returning id
), priced as (
  insert into tandem.rate_class(rate_set_id, idx, per_min_micros) select id, 0, 123 from made
)
insert into tandem.rate select id, n::text, 0 from made, generate_series(4400000, 4420100) as n returning rate_set_id
"""
FENCE: Final = 1_000


class Beside:
    """A loader that never gets anything done."""

    def __init__(self) -> None:
        self.wanted: set[int] = set()
        self.complete: set[int] = set()

    def want(self, number: int) -> None:
        """Note the wish."""
        self.wanted.add(number)

    def waiting(self) -> frozenset[int]:
        """All that is wanted waits."""
        return frozenset(self.wanted)

    def known(self) -> frozenset[int]:
        """Return what is wanted, and what a test says is complete."""
        return frozenset(self.wanted | self.complete)

    def forget(self, number: int) -> None:
        """Take note: a set is complete no more."""
        self.complete.discard(number)

    def take_strangers(self) -> frozenset[int]:
        """There are none."""
        return frozenset()


@pytest.fixture
def pair(demo_database: Database, redis_client: RedisClient, redis_url: str) -> SyncPair:
    """Sync the demo world once."""
    made = SyncPair(demo_database, redis_client, redis_url)
    made.once()
    return made


@pytest.fixture
def source(pair: SyncPair) -> Iterator[Source]:
    """Connect as a syncer does."""
    with closing(Source.connect(pair.database.dsn, listen=False)) as made:
        yield made


@pytest.fixture
def store(pair: SyncPair) -> Iterator[Store]:
    """Take over as the active syncer."""
    with closing(Store.connect(pair.redis_url)) as made:
        made.begin(FENCE)
        yield made


@pytest.fixture
def loader(pair: SyncPair, store: Store, monkeypatch: pytest.MonkeyPatch) -> Iterator[RateLoader]:
    """Run one that compares without a rest."""
    assert store.version
    monkeypatch.setattr(rate_loader, "ROUND_S", 0.05)
    monkeypatch.setattr(rate_loader, "SWEEP_REST", 0.0)
    with RateLoader(pair.database.dsn, pair.redis_url, FENCE) as made:
        yield made


def a_large_set(pair: SyncPair, *, ready: bool = True) -> int:
    """Make a set that is too large for a pass."""
    number = int(pair.sql(LARGE)[0][0])
    if ready:
        pair.sql("update tandem.rate_set set state = 'ready' where id = %s", number)
    return number


def repairs(pair: SyncPair) -> int:
    """Return how often readers were told to drop their buckets."""
    return int(pair.redis.execute("GET", keys.RATE_REPAIRS) or 0)


def differences(source: Source, store: Store, number: int) -> list[tuple[str, str]]:
    return list(Rates(source, store).differences([keys.rate_set(number)]))


def test_a_pass_goes_on_without_a_set_that_is_loaded_beside(pair: SyncPair, source: Source, store: Store) -> None:
    """Neither the set nor a tariff that leads to it is applied, whatever leads there; everything else is."""
    beside = Beside()
    rates = Rates(source, store, beside)
    large = a_large_set(pair)
    pair.sql("select world.deck('North', 'retail', now() + interval '1 day', '44', '0.7')")
    edit = 'select tandem.edit_rate_set_v1(%s, \'[{"prefix": "44", "price": {}}]\')'
    edited = pair.sql(edit, large)[0][0]
    rows = [
        OutboxRow(1, "rate_set", keys.rate_set(large)),
        OutboxRow(2, "tariff", "tar:6"),
        OutboxRow(3, "tariff", "tar:5"),
        OutboxRow(4, "account", "acct:1"),
        OutboxRow(5, "rate_set", keys.rate_set(edited)),
        OutboxRow(6, "rate_set", "rset:1"),
    ]
    assert [row.id for row in rates.ready(rows)] == [2, 3, 4, 6]
    assert beside.wanted == {large}
    for pointing in (  # each of them also leaves what the ones before it made
        "update tandem.tariff set rate_set_id = %s where id = 6",
        "update tandem.tariff set inbound_rate_set_id = %s, rate_set_id = null where id = 6",
        "update tandem.tariff_deck set rate_set_id = %s where tariff_id = 6",
    ):
        pair.sql(pointing, large)
        assert [row.id for row in rates.ready(rows)] == [3, 4, 6]
    assert rates.ready(rows[1:2]) == []  # also when the set itself is in no row of this pass
    beside.wanted, beside.complete = set(), {large}
    assert rates.ready(rows) == rows


@pytest.mark.parametrize("living", [True, False])
def test_who_would_pay_by_a_tariff_that_is_not_there_waits_with_it(
    pair: SyncPair, source: Source, store: Store, *, living: bool
) -> None:
    """A tariff that Redis has serves its old prices meanwhile: then accounts and carriers need not wait."""
    rates = Rates(source, store, Beside())
    large = a_large_set(pair)
    if living:
        pair.once()
        pair.redis.execute("DEL", keys.config(keys.rate_set(large)))
    pair.sql("update tandem.tariff set rate_set_id = %s where id = 6", large)
    if not living:
        pair.redis.execute("DEL", keys.config("tar:6"))
    alpha, acme = "(select id from tandem.account where name = 'Alpha')", "select min(id) from tandem.peering_group"
    (number,) = pair.sql(f"select {alpha}")[0]
    (group,) = pair.sql(acme)[0]
    rows = [
        OutboxRow(1, "rate_set", keys.rate_set(large)),
        OutboxRow(2, "account", f"acct:{number}"),
        OutboxRow(3, "account", "acct:1"),
        OutboxRow(4, "peering_group", f"pg:{group}"),
    ]
    assert [row.id for row in rates.ready(rows)] == ([2, 3, 4] if living else [3, 4])
    pair.sql("set session_replication_role = replica")  # the tariff is not the carrier's owner's
    pair.sql("update tandem.peering_group set tariff_id = 6 where id = %s", group)
    assert [row.id for row in rates.ready(rows)] == ([2, 3, 4] if living else [3])


def test_what_is_held_is_known_until_something_is_complete(pair: SyncPair, source: Source, store: Store) -> None:
    """So the outbox can be read past it."""
    beside = Beside()
    rates = Rates(source, store, beside)
    large = a_large_set(pair)
    pair.sql("update tandem.tariff set rate_set_id = %s where id = 6", large)
    assert rates.held == frozenset()
    rates.ready([OutboxRow(1, "rate_set", keys.rate_set(large)), OutboxRow(2, "tariff", "tar:6")])
    assert rates.held >= {("rate_set", keys.rate_set(large)), ("tariff", "tar:6")}
    assert rates.ready([OutboxRow(3, "account", "acct:1")]) == [OutboxRow(3, "account", "acct:1")]
    assert rates.held >= {("rate_set", keys.rate_set(large)), ("tariff", "tar:6")}
    beside.wanted.clear()
    assert rates.held == frozenset()


def test_a_restored_past_makes_another_world(pair: SyncPair, source: Source, store: Store) -> None:
    """Readers drop what they keep for ever."""
    before = repairs(pair)
    Rates(source, store).renew_world()
    assert repairs(pair) == before + 1


def test_without_a_loader_everything_is_written_in_the_pass(pair: SyncPair) -> None:
    """As `--once` does."""
    large = a_large_set(pair)
    pair.sql("update tandem.tariff set rate_set_id = %s where id = 6", large)
    pair.once()
    assert pair.record("tar:6").rate_set_id == large
    pair.assert_equal()


def test_the_loader_completes_a_set(pair: SyncPair, source: Source, store: Store, loader: RateLoader) -> None:
    """It is known from then on, until its buckets are dropped."""
    large = a_large_set(pair)
    assert differences(source, store, large)
    loader.want(large)
    until(lambda: large not in loader.waiting(), 10, "the loader")
    assert differences(source, store, large) == []
    assert large in loader.known()
    Rates(source, store, loader).drop([keys.rate_set(large)])
    assert large not in loader.known()
    assert pair.redis.execute("EXISTS", keys.rate_hash(large)) == 0


def test_a_set_that_does_not_fit_waits(pair: SyncPair, loader: RateLoader, monkeypatch: pytest.MonkeyPatch) -> None:
    """Its buckets give their memory back, so that calls go on; with more memory it is loaded."""
    monkeypatch.setattr(rate_loader, "TOO_LARGE_S", 0.1)
    large = a_large_set(pair)
    info = pair.redis.execute("INFO", "memory").decode()
    used = int(info.partition("used_memory:")[2].partition("\r")[0])
    pair.redis.execute("CONFIG", "SET", "maxmemory", int(used * 1.3))
    try:
        loader.want(large)
        until(lambda: loader.status()["rates_too_large"] == 1, 10, "the set to be put off")
        assert large in loader.waiting()
        pair.redis.execute("CONFIG", "SET", "maxmemory", used * 10)
        until(lambda: large not in loader.waiting(), 10, "the loader")
        assert loader.status()["rates_too_large"] == 0
    finally:
        pair.redis.execute("CONFIG", "SET", "maxmemory", 0)


def test_a_set_that_goes_while_it_is_loaded_is_not_complete(pair: SyncPair, loader: RateLoader) -> None:
    """Its buckets were removed under the loader: what it has written since is not all of them."""
    large = a_large_set(pair)
    loader.want(large)
    loader.forget(large)
    until(lambda: not loader.waiting(), 10, "the loader")
    assert large not in loader.known()


def test_what_a_stranger_leaves_is_not_completed_but_replaced(pair: SyncPair, source: Source, store: Store) -> None:
    """Fields of another world in a hash that nobody reads yet."""
    large = a_large_set(pair)
    pair.redis.execute("HSET", keys.rate_hash(large), "9", "x", "4400", "x")
    for _ in Rates(source, store).complete(large):
        pass
    assert differences(source, store, large) == []


@pytest.mark.parametrize(
    "damage", [("HSET", "44", "x"), ("HDEL", "4420"), ("HSET", "9999", "x")], ids=["changed", "lost", "too much"]
)
def test_what_differs_in_redis_is_mended(
    pair: SyncPair, source: Source, store: Store, loader: RateLoader, damage: tuple[str, ...]
) -> None:
    """Found by comparing, written again, counted, and told to readers: the set's record gets a new version."""
    command, *rest = damage
    assert pair.outbox_is_empty()
    before = repairs(pair)
    pair.redis.execute(command, keys.rate_hash(1), *rest)
    until(lambda: loader.status()["rates_drift"] == 1, 10, "the sweep")
    assert differences(source, store, 1) == []
    assert repairs(pair) == before + 1
    assert pair.sql("select kind, key from tandem.outbox") == [("rate_set", "rset:1")]


def test_a_set_that_waits_for_its_pass_is_no_drift(pair: SyncPair, loader: RateLoader) -> None:
    """Redis has none of it, as nobody may read it yet."""
    a_large_set(pair)
    began, before = loader.rounds, repairs(pair)
    until(lambda: loader.rounds > began + 1, 10, "a whole round")
    assert loader.status()["rates_drift"] == 0
    assert repairs(pair) == before


def test_a_set_that_nobody_reads_is_not_mended(pair: SyncPair, source: Source, store: Store) -> None:
    """It may have gone between comparing and mending; then its buckets would stand there without it."""
    large = a_large_set(pair)
    rates = Rates(source, store)
    portion = next(portion for portion in rates.compare(large) if not portion.is_right)
    assert rates.mend(portion) == 0
    assert pair.redis.execute("EXISTS", keys.rate_hash(large)) == 0


def test_buckets_without_a_set_are_removed(pair: SyncPair, source: Source, store: Store, loader: RateLoader) -> None:
    """The loader finds them, the pass removes them."""
    pair.redis.execute("HSET", keys.rate_hash(777), "44", "x")
    rates = Rates(source, store, loader)

    def gone() -> bool:
        rates.ready([])
        return bool(pair.redis.execute("EXISTS", keys.rate_hash(777)) == 0)

    until(gone, 10, "the stranger's removal")
    assert pair.redis.execute("EXISTS", keys.rate_hash(1)) == 1


def test_a_fenced_loader_stops(pair: SyncPair, store: Store) -> None:
    """Another syncer has taken over; its own loader does the rest."""
    with closing(Store.connect(pair.redis_url)) as other:
        other.begin(FENCE + 1)
    with RateLoader(pair.database.dsn, pair.redis_url, FENCE) as loader:
        loader.want(1)
        until(lambda: not loader.is_running, 10, "the loader's end")
    with pytest.raises(FencedError):
        store.add_buckets(1, [("44", b"")])


def test_an_outage_ends_by_itself(pair: SyncPair, loader: RateLoader) -> None:
    """The loader connects again and goes on."""
    pair.sql("select pg_terminate_backend(pid) from pg_stat_activity where application_name = 'tandem sync rates'")
    large = a_large_set(pair)
    loader.want(large)
    until(lambda: large not in loader.waiting(), 10, "the loader")


def test_a_running_syncer_switches_to_a_large_set(pair: SyncPair) -> None:
    """Changes of others arrive while it is loaded, the tariff follows when it is there, and nothing stays behind."""
    with pair.active_syncer():
        large = a_large_set(pair)
        pair.sql("update tandem.tariff set rate_set_id = %s where id = 6", large)
        pair.sql("update tandem.account set status = 'suspended' where name = 'North'")
        pair.wait_for(lambda: pair.record("tar:6").rate_set_id == large, "the switch")
        pair.wait_for(pair.outbox_is_empty, "the outbox")
        pair.assert_equal()


def test_a_hurried_round_takes_no_rest(pair: SyncPair, store: Store, monkeypatch: pytest.MonkeyPatch) -> None:
    """After Redis may have lost something all sets are compared at once, also one whose round was just over."""
    assert store.version
    monkeypatch.setattr(rate_loader, "ROUND_S", 3_600.0)
    with RateLoader(pair.database.dsn, pair.redis_url, FENCE) as loader:
        until(lambda: loader.rounds == 1, 10, "the first round")
        pair.redis.execute("HDEL", keys.rate_hash(1), "44")
        loader.hurry()
        until(lambda: loader.rounds == 2, 10, "the hurried round")
        assert loader.status()["rates_drift"] == 1


def test_a_mended_layer_renews_the_sets_on_it(pair: SyncPair, source: Source, store: Store) -> None:
    """A call in the making by an edited tariff stands on the layer below, too."""
    (above,) = pair.sql('select tandem.set_rates_v1(1, \'[{"prefix": "4420", "price": {}}]\')')[0]
    pair.once()
    store.begin(FENCE + 2)
    pair.redis.execute("HSET", keys.rate_hash(1), "33", "x")
    rates = Rates(source, store)
    assert sum(rates.mend(portion) for portion in rates.compare(1)) == 1
    assert {key for (key,) in pair.sql("select key from tandem.outbox")} == {"rset:1", keys.rate_set(above)}
