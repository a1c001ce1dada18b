"""redis_tables.py over functions/config.lua: what one fetch brings, and that a cache never outlives the truth."""

from __future__ import annotations

import re
from collections.abc import Iterator
from typing import Any, get_args, get_type_hints

import pytest
from hypothesis import settings
from hypothesis import strategies as st
from hypothesis.stateful import RuleBasedStateMachine, invariant, rule, run_state_machine_as_test

from kemi import codec, keys
from kemi.adapters.redis_client import RedisClient, StoreUnavailable
from kemi.adapters.redis_functions import FOLDER
from kemi.adapters.redis_tables import RECORD_TYPES, Tables
from kemi.core.chains import LEVELS_MAX
from kemi.core.decide import decide
from kemi.core.links import links, missing
from kemi.core.outcome import Decision, Need, Route
from kemi.core.prefix import longest
from kemi.records import Account, Deck, Emergency, EmergencyRoute, Exchange, ExchangeRate, Number, Tariff
from kemi.settings import Limits
from tests.fakes.config_writer import ConfigWriter, stored_pass
from tests.fakes.world import ABROAD, ALICE, CUSTOMER, World, carrier_of, crowd, enrich, invite
from tests.redis_server import running_redis

LINK = re.compile(r'\{ kind = "(\w+)", at = \{ ([\d, ]+) \}, field = "([\w.]+)", to = "(?:(\w+):)?" \}')
WORDS = {
    "account_id": "acct", "parent_id": "acct", "tariff_id": "tar", "domain": "dom", "rewrite_set_id": "rws",
    "subscriber": "sub", "group_id": "pg", "group_ids": "pg", "rate_set_id": "rset",
    "inbound_rate_set_id": "rset", "barring_id": "bar", "own_barring_id": "bar", "time_set_id": "tset",
    "lines": "sub", "to": "", "overflow": "",
}  # fmt: skip
MANY_ATTEMPTS = Limits(attempts_max=16)


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


def lua_links() -> Iterator[tuple[str, tuple[int, ...], str, str]]:
    source = (FOLDER / "config.lua").read_text(encoding="utf-8")
    rows = LINK.findall(source)
    assert len(rows) == source.count("{ kind =")
    for kind, at, field, to in rows:
        yield kind, tuple(map(int, at.split(", "))), field, to


def test_the_links_in_lua_are_the_fields_of_the_records() -> None:
    """A position is right only while it is that of the field it names, and a field leads to what its name says."""
    for kind, at, field, to in lua_links():
        record: Any = RECORD_TYPES[kind]
        path = field.split(".")
        assert len(path) == len(at), field
        for position, name in zip(at, path, strict=True):
            assert record._fields[position - 1] == name, f"{kind}: {field} at {at}"
            inner = get_args(get_type_hints(record)[name])
            record = inner[0] if inner else None
        assert WORDS[path[-1]] == to, f"{kind}: {field}"


def test_every_link_of_the_core_is_followed_in_redis(redis_client: RedisClient) -> None:
    """One fetch of a name brings all that the core would ask for next: no second round for a link Lua does not know."""
    world = World()
    enrich(world)
    ConfigWriter(redis_client).load(world.records, world.rates)
    for name in world.records:
        fresh = Tables(redis_client)
        fresh.fetch(Need((name,), "33140000000"))
        assert missing([name], fresh.records, fresh.rates, "33140000000") == Need((), "33140000000")
        assert set(links(fresh.records[name])) <= fresh.records.keys()


def test_a_tariff_without_prices_is_known_to_have_none(redis_client: RedisClient, tables: Tables) -> None:
    """It points to rate set 0, now or from a date on, which nobody writes and nobody asks for."""
    ConfigWriter(redis_client).load({"tar:9": Tariff(9, 1, "new", "EUR", 0, decks=(Deck(1, 0),))}, {})
    tables.fetch(Need(("tar:9",), "4420"))
    assert missing(["tar:9"], tables.records, tables.rates, "4420") == Need((), "4420")
    assert tables.records.keys() == {"tar:9"}


def test_exchange_rates_come_with_the_call(redis_client: RedisClient, tables: Tables) -> None:
    """They are a record like another, by their own name."""
    world = World()
    world.exchange("USD", "EUR", 920_000_001)
    ConfigWriter(redis_client).load(world.records, world.rates)
    tables.fetch(Need((keys.EXCHANGE,)))
    assert tables.records[keys.EXCHANGE] == Exchange((ExchangeRate("USD", "EUR", 0, 920_000_001),))


def test_one_round_trip_brings_the_closure_and_its_rates(
    world: World, tables: Tables, redis_client: RedisClient
) -> None:
    """Subscriber -> domain, accounts up to the root, tariffs, rate sets, rewrite sets, and buckets of the digits."""
    before = redis_client.round_trips
    tables.fetch(Need((keys.subscriber(ALICE),), "33140000000"))
    assert redis_client.round_trips == before + 1
    assert tables.records.keys() == {
        "sub:alice@a.example", "acct:5", "acct:3", "acct:2", "acct:1", "dom:a.example", "rws:1",
        "tar:50", "tar:30", "tar:20", "rset:1050", "rset:1030", "rset:1020",
    }  # fmt: skip
    assert {name: tables.records[name] for name in tables.records} == {
        name: world.records[name] for name in tables.records
    }
    assert tables.rates.keys() == {(s, f) for s in (1050, 1030, 1020) for f in ("3", "33", "331", "3314")}
    assert longest("33140000000", lambda field: tables.rates[1050, field]) == ("33", 0)


@pytest.mark.parametrize("digits", ["", "+4420", "4", "44\n", "x"])
def test_odd_digits_do_no_harm(world: World, tables: Tables, digits: str) -> None:
    """What is no number has no buckets; a short one has few."""
    tables.fetch(Need((keys.tariff(50),), digits))
    assert tables.records[keys.tariff(50)] == world.records[keys.tariff(50)]
    assert {field for _, field in tables.rates} == {digits[:at] for at in range(1, len(digits) + 1)} & {"4", "44"}


def test_other_tenants_carriers_leave_room(redis_client: RedisClient, tables: Tables) -> None:
    """A cold call of two fetches brings no record of 300 other resellers with carriers for all numbers."""
    world = World()
    crowd(world, 300)
    ConfigWriter(redis_client).load(world.records, world.rates)
    assert cold_call(world, tables, ABROAD) == world.decide(invite(), limits=MANY_ATTEMPTS)
    assert "rules:2:33" in tables.records
    others = {name for n in range(1000, 1300) for name in (f"acct:{n}", f"pg:{n}", f"rules:{n}:")}
    assert others < world.records.keys()
    assert not others & tables.records.keys()


def test_a_chain_of_owners_fits_into_a_fetch(redis_client: RedisClient, tables: Tables) -> None:
    """The longest chain, where every account has a carrier of its own, and the longest number: still two fetches."""
    world = World()
    crowd(world, LEVELS_MAX - 1)
    for account_id in range(1000, 1000 + LEVELS_MAX - 2):
        world.change(keys.account(account_id), parent_id=account_id + 1)
    for account_id in range(1000, 1000 + LEVELS_MAX - 1):
        world.change(keys.account(account_id), loss_pct=1)  # they sell on at cost: a carrier of their own is a loss
    world.change(keys.account(CUSTOMER), parent_id=1000)
    world.carrier(carrier_of(CUSTOMER, 7), 1)
    ConfigWriter(redis_client).load(world.records, world.rates)
    callee = ABROAD.ljust(15, "0")
    decision = cold_call(world, tables, callee)
    assert decision == world.decide(invite(callee=callee), limits=MANY_ATTEMPTS)
    assert isinstance(decision, Route)
    assert len(decision.call.legs) == LEVELS_MAX
    assert {7, *range(1000, 1000 + LEVELS_MAX - 1)} <= {target.server_id for target in decision.call.targets}


def cold_call(world: World, tables: Tables, callee: str) -> Decision:
    """Return the decision of alice's call after two fetches."""
    tables.load_pinned()
    facts = world.facts(records=tables.records, rates=tables.rates, limits=MANY_ATTEMPTS)  # views of the cache
    for _ in range(2):
        need = decide(invite(callee=callee), facts)
        assert isinstance(need, Need)
        tables.fetch(need)
    decision = decide(invite(callee=callee), facts)
    assert not isinstance(decision, Need), decision
    return decision


def test_a_fetch_is_bounded(redis_client: RedisClient, tables: Tables) -> None:
    """At most 512 records and 24 levels, whatever somebody chained together; the rest stays unknown."""
    account = Account(1, 0, 1, 0, "a", "EUR", 0, "UTC")
    chain = {keys.account(n): account._replace(id=n, parent_id=n + 1) for n in range(1, 600)}
    ConfigWriter(redis_client).load(chain, {})
    tables.fetch(Need((keys.account(1),)))
    assert tables.records.keys() == {keys.account(n) for n in range(1, 25)}
    tables.fetch(Need(tuple(chain)))
    assert len(tables.records) == 512


def test_a_circle_ends(redis_client: RedisClient, tables: Tables) -> None:
    """Two accounts that name each other as parents are fetched once each."""
    account = Account(1, 2, 1, 0, "a", "EUR", 0, "UTC")
    ConfigWriter(redis_client).load({"acct:1": account, "acct:2": account._replace(id=2, parent_id=1)}, {})
    tables.fetch(Need(("acct:1",)))
    assert len(tables.records) == 2


@pytest.mark.usefixtures("world")
def test_absence_is_known_until_it_changes(tables: Tables, redis_client: RedisClient) -> None:
    """A name that Redis does not hold, or holds as deleted, is None and asks no more; when it appears it is dropped."""
    writer = ConfigWriter(redis_client, fence=2, first_pass=1_000)
    writer.write({"num:441": Number("441", 5, 0, ALICE)})
    writer.write({"num:441": None})
    tables.fetch(Need(("num:440", "num:441")))
    assert dict(tables.known(["num:440", "num:441", "num:442"])) == {"num:440": None, "num:441": None}
    writer.write({"num:440": Number("440", 5, 0, ALICE)})
    tables.fetch(Need(("acct:5",)))
    assert "num:440" not in tables.records
    assert "num:441" in tables.records


def test_what_changed_is_dropped_and_nothing_else(world: World, tables: Tables, redis_client: RedisClient) -> None:
    """A fetch of anything drops the changed names; a changed tariff leads to the new rate set, the old one stays."""
    tables.fetch(Need((keys.subscriber(ALICE),), "33140000000"))
    writer = ConfigWriter(redis_client, fence=2, first_pass=1_000)
    tariff = world.records["tar:50"]
    assert isinstance(tariff, Tariff)
    writer.store.add_buckets(2050, [("33", b"new")])
    writer.write({"rset:2050": world.records["rset:1050"], "tar:50": tariff._replace(rate_set_id=2050)})
    tables.fetch(Need(("masks",)))
    assert "tar:50" not in tables.records
    assert {"sub:alice@a.example", "acct:5", "rset:1050"} <= tables.records.keys()
    assert (1050, "33") in tables.rates
    tables.fetch(missing(["tar:50"], tables.records, tables.rates, "33140000000"))
    assert tables.rates[2050, "33"] == b"new"


@pytest.mark.usefixtures("world")
def test_names_that_the_hold_returned_are_dropped(tables: Tables) -> None:
    """`invalidate` moves the seen pass; with a pass that is lower than the seen one all goes that can change."""
    tables.fetch(Need(("acct:5",)))
    seen = tables.seen_pass
    tables.invalidate(["acct:5"], seen + 1)
    assert (tables.seen_pass, "acct:5" in tables.records, "acct:3" in tables.records) == (seen + 1, False, True)
    tables.invalidate([], seen)
    assert (tables.seen_pass, {name for name in tables.records if not name.startswith("rset:")}) == (seen, set())


def test_an_unloaded_redis_teaches_nothing(tables: Tables) -> None:
    """Absence in a Redis that is not loaded is no knowledge: it would be believed after the load."""
    tables.fetch(Need(("acct:5", "masks")))
    assert (len(tables.records), tables.seen_pass) == (0, 0)


def test_a_value_of_a_newer_release_leaves_the_older_record(
    world: World, tables: Tables, redis_client: RedisClient
) -> None:
    """A reader that meets a higher schema says so and keeps what it has."""
    tables.fetch(Need(("acct:5",)))
    ConfigWriter(redis_client, fence=2, first_pass=1_000).write({"acct:5": world.records["acct:5"]})
    newer = bytes([0x93, codec.SCHEMA_VERSION + 1]) + redis_client.execute("GET", keys.config("acct:5"))[2:]
    redis_client.execute("SET", keys.config("acct:5"), newer)
    tables.fetch(Need(("acct:5", "acct:3")))
    assert tables.records["acct:5"] == world.records["acct:5"]
    assert "newer" in tables.unreadable["acct:5"]


def test_emergency_numbers_survive_redis(world: World) -> None:
    """Pinned at start: the table, its carriers and their rewrite sets, though the cache is empty and Redis dead."""
    with running_redis() as server:
        client = RedisClient(server.url, 500)
        ConfigWriter(client).load(world.records, world.rates)
        tables = Tables(client)
        emergency, masks = tables.load_pinned()
        assert (emergency, masks) == (world.emergency, world.records[keys.MASKS])
        tables.clear()
        assert not {keys.EMERGENCY, "pg:3"} & tables.records.keys()  # old, and Redis can be asked
        server_dies(client)
        assert tables.emergency == tables.records[keys.EMERGENCY] == world.emergency
        assert {name: tables.records[name] for name in ("pg:3", "pg:4", "rws:2")} == {
            name: world.records[name] for name in ("pg:3", "pg:4", "rws:2")
        }
        with pytest.raises(StoreUnavailable):
            tables.fetch(Need(("acct:5",)))


def server_dies(client: RedisClient) -> None:
    with pytest.raises(StoreUnavailable):
        client.execute("SHUTDOWN", "NOSAVE")
    for _ in range(3):
        with pytest.raises(StoreUnavailable):
            client.execute("PING")


@pytest.mark.usefixtures("world")
def test_the_fetch_that_drops_everything_brings_the_masks(tables: Tables, redis_client: RedisClient) -> None:
    """Else a worker that fell behind would pay a round trip more before it could ask who calls."""
    tables.load_pinned()
    redis_client.execute("SET", keys.CHANGED_LOW, str(tables.seen_pass + 1))
    tables.fetch(Need((keys.number("1"),)))
    assert keys.MASKS in tables.records


@pytest.mark.usefixtures("world")
def test_after_a_drop_of_everything_the_masks_come_with_the_next_fetch(tables: Tables) -> None:
    """What is pinned is asked for again with whatever is needed next: no round trip of its own."""
    tables.load_pinned()
    tables.clear()
    tables.fetch(Need(("acct:5",)))
    assert {"masks", "emergency", "acct:5"} <= tables.records.keys()


def test_a_changed_emergency_table_comes_with_the_next_fetch(
    world: World, tables: Tables, redis_client: RedisClient
) -> None:
    """Whatever is fetched, what is pinned and old comes along, with the groups that are new in it."""
    tables.load_pinned()
    table = Emergency((EmergencyRoute("", "112", (6,)),))
    ConfigWriter(redis_client, fence=2, first_pass=1_000).write({keys.EMERGENCY: table})
    tables.fetch(Need(("acct:5",)))
    assert keys.EMERGENCY not in tables.records
    assert tables.emergency == world.emergency  # without Redis: better an old table than none
    tables.fetch(Need(("acct:5",)))
    assert tables.emergency == tables.records[keys.EMERGENCY] == table
    assert tables.records["pg:6"] == world.records["pg:6"]


class Cache(RuleBasedStateMachine):
    """Two readers and a writer whose passes have many steps, in any interleaving."""

    client: RedisClient

    def __init__(self) -> None:
        super().__init__()
        self.client.execute("FLUSHALL")
        self.fence = 0
        self.serial = 0
        self.truth: dict[str, object | None] = {}
        self.next_pass = 1
        self.takes_over()
        self.writer.finish_load()
        self.readers = [Tables(self.client), Tables(self.client)]

    @rule()
    def takes_over(self) -> None:
        """Let a new syncer begin, perhaps in the middle of the old one's pass."""
        self.fence += 1
        self.writer = ConfigWriter(self.client, self.fence, self.next_pass)

    @rule(numbers=st.sets(st.integers(1, 6), min_size=1), deleted=st.booleans())
    def writes_a_step(self, numbers: set[int], deleted: bool) -> None:
        """One step of a pass: other steps, and readers, may come before the pass ends."""
        self.serial += 1
        for number in numbers:
            record = None if deleted else Tariff(number, 1, f"state {self.serial}", "EUR", 0)
            self.truth[keys.tariff(number)] = record
        self.writer.write({keys.tariff(number): self.truth[keys.tariff(number)] for number in numbers})
        self.next_pass = stored_pass(self.client) % (1 << 32) + 1

    @rule()
    def ends_a_pass(self) -> None:
        """Write the marker: nothing changes for readers."""
        self.writer.finish()

    @rule()
    def ends_a_full_load(self) -> None:
        """All readers have to drop everything."""
        self.writer.finish_load()
        self.next_pass = stored_pass(self.client) % (1 << 32) + 1

    @rule(reader=st.integers(0, 1), numbers=st.sets(st.integers(1, 7)))
    def fetches(self, reader: int, numbers: set[int]) -> None:
        """Right after a fetch everything that the reader holds is what Redis holds: nothing old is left behind."""
        tables = self.readers[reader]
        tables.fetch(Need(tuple(keys.tariff(number) for number in numbers)))
        assert tables.seen_pass == stored_pass(self.client)
        assert dict(tables.records) == {name: self.truth.get(name) for name in tables.records}
        assert {keys.tariff(number) for number in numbers} <= tables.records.keys()

    @invariant()
    def what_a_reader_holds_and_redis_does_not_is_listed_above_seen(self) -> None:
        """Prove the claim: an old value in a cache has a score above its reader's seen pass, or everything goes."""
        low = int(self.client.execute("GET", keys.CHANGED_LOW) or 0)
        for tables in self.readers:
            for name, record in tables.records.items():
                if record != self.truth.get(name) and tables.seen_pass >= low:
                    score = self.client.execute("ZSCORE", keys.CHANGED, name)
                    assert score is not None
                    assert int(score) > tables.seen_pass


def test_a_reader_never_keeps_what_was_overwritten(redis_client: RedisClient) -> None:
    """In any interleaving of steps, ends of passes, take-overs, full loads and fetches of two readers."""
    machine = type("CacheOnRedis", (Cache,), {"client": redis_client})
    run_state_machine_as_test(machine, settings=settings(max_examples=60, stateful_step_count=30, deadline=None))
