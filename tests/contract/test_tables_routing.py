"""What routing reads comes in one fetch: barring levels, time sets, ported numbers and what these lead to."""

from __future__ import annotations

import pytest

from kemi import keys
from kemi.adapters.redis_client import RedisClient
from kemi.adapters.redis_tables import Tables
from kemi.core.links import links, missing
from kemi.core.outcome import Need
from kemi.records import (
    Account,
    BarringLevel,
    Callflow,
    Destination,
    Destinations,
    Extension,
    Forward,
    MediaServer,
    Member,
    Number,
    PeeringRule,
    PeeringRules,
    Peers,
    PortedNumber,
    RingGroup,
    Step,
    Subscriber,
    TimeSet,
    User,
)
from tests.fakes.config_writer import ConfigWriter
from tests.fakes.world import ALICE, CUSTOMER, World


@pytest.fixture
def tables(redis_client: RedisClient) -> Tables:
    """Make an empty cache."""
    return Tables(redis_client)


def barred_and_timed(world: World) -> dict[str, object]:
    """Return what barring levels, time sets, ported numbers and peers lead from and to."""
    alice, account = world.records[keys.subscriber(ALICE)], world.records[keys.account(CUSTOMER)]
    rules = world.records["rules:1:33"]
    assert isinstance(alice, Subscriber)
    assert isinstance(account, Account)
    assert isinstance(rules, PeeringRules)
    return {
        keys.subscriber(ALICE): alice._replace(barring_id=1, own_barring_id=2),
        keys.account(CUSTOMER): account._replace(barring_id=3, own_barring_id=4),
        **{keys.barring_level(n): BarringLevel(n, "level", False, (), n) for n in range(1, 5)},
        **{keys.time_set(n): TimeSet(n, "times", "UTC") for n in range(1, 6)},
        "rules:1:33": PeeringRules(tuple(rule._replace(time_set_id=5) for rule in rules.entries)),
        keys.ported("331"): PortedNumber("331", "33991", 3),
        keys.ported("332"): PortedNumber("332", "33992"),
        keys.PEERS: Peers((3, 4)),
    }


def people(world: World) -> dict[str, object]:
    """Return users, groups, callflows, extensions and forwards that lead to each other and to everything else."""
    alice = world.records[keys.subscriber(ALICE)]
    assert isinstance(alice, Subscriber)
    forwards = (Forward(1, "always", keys.callflow(4)), Forward(2, "busy", keys.media_server(6), "box", 0, 2, ("44*",)))
    steps = (
        Step("time", time_set_id=3, otherwise=2), Step("ring", keys.ring_group(3), ring_s=20),
        Step("forward", "num:4930"), Step("media", keys.media_server(6), "main"),
    )  # fmt: skip
    return {
        keys.subscriber(ALICE): alice._replace(user_id=2, forwards=forwards),
        keys.user(2): User(2, CUSTOMER, "Eva", 0, (ALICE,), forwards=(Forward(3, "busy", "num:4931", time_set_id=4),)),
        keys.ring_group(3): RingGroup(
            3, CUSTOMER, "Sales", "serial", (Member(keys.user(2)), Member("sub:none@a.example")),
            overflow=keys.callflow(5),
        ),
        keys.callflow(4): Callflow(4, CUSTOMER, "Main", steps),
        keys.callflow(5): Callflow(5, CUSTOMER, "Night", (Step("flow", keys.callflow(4)),)),
        keys.extension(CUSTOMER, "200"): Extension(CUSTOMER, "200", keys.ring_group(3)),
        keys.media_server(6): MediaServer(6, 1, "ivr", "192.0.2.5"),
        keys.number("4930"): Number("4930", CUSTOMER, 0, "", keys.user(2)),
        **{keys.time_set(n): TimeSet(n, "times", "UTC") for n in range(2, 5)},
    }  # fmt: skip


def test_all_that_a_destination_leads_to_comes_with_it(redis_client: RedisClient) -> None:
    """Whatever is called, one round trip brings every person, step and time that may count, and who pays."""
    world = World()
    world.records.update(people(world))
    ConfigWriter(redis_client).load(world.records, world.rates)
    for name in people(world).keys() - {keys.media_server(6), *map(keys.time_set, range(2, 5))}:
        fresh = Tables(redis_client)
        fresh.fetch(Need((name,)))
        assert missing([name], fresh.records, fresh.rates, "") == Need(())
        assert people(world).keys() - {keys.extension(CUSTOMER, "200")} <= fresh.records.keys()
        assert {keys.account(CUSTOMER), "sub:none@a.example", "num:4931"} <= fresh.records.keys()
        assert fresh.records["num:4931"] is None


def test_every_link_is_followed_in_redis(redis_client: RedisClient) -> None:
    """One fetch of a name brings all that the core would ask for next."""
    world = World()
    world.records.update(barred_and_timed(world))
    ConfigWriter(redis_client).load(world.records, world.rates)
    for name in world.records:
        fresh = Tables(redis_client)
        fresh.fetch(Need((name,)))
        assert missing([name], fresh.records, fresh.rates, "") == Need(())
        assert set(links(fresh.records[name])) <= fresh.records.keys()


def test_the_closure_holds_what_bars_a_line_and_when(redis_client: RedisClient, tables: Tables) -> None:
    """Levels of the line and of accounts above come with the line, their time sets with them; groups with a port."""
    world = World()
    world.records.update(barred_and_timed(world))
    ConfigWriter(redis_client).load(world.records, world.rates)
    tables.fetch(Need((keys.subscriber(ALICE),)))
    assert {name for name in tables.records if name.startswith(("bar:", "tset:"))} == {
        f"{word}:{n}" for word in ("bar", "tset") for n in range(1, 5)
    }
    tables.fetch(Need((keys.ported("331"), "rules:1:33")))
    assert {"pg:3", "tset:5"} <= tables.records.keys()


def test_what_a_ported_number_needs_comes_with_it(redis_client: RedisClient, tables: Tables) -> None:
    """Rules and rates by the routing number, in the same round trip, of the owners whose rules were asked for."""
    world = World()
    routed = PeeringRules((PeeringRule(5, 4, "3399"),))
    world.records |= {
        "lnp:331": PortedNumber("331", "4411"),
        "lnp:33140": PortedNumber("33140", "3399", 3),
        "lnp:33149": PortedNumber("33149", "1"),
        "rules:1:3399": routed,
        "dest:33": Destinations((Destination("33", 60),)),
    }
    ConfigWriter(redis_client).load(world.records, world.rates)
    before = redis_client.round_trips
    tables.fetch(Need(("lnp:331", "lnp:33140", "lnp:33149", "lnp:3", "rules:1:", "rules:2:"), "33140000"))
    assert redis_client.round_trips == before + 1
    assert tables.records["rules:1:3399"] == routed
    beginnings = [f"rules:{owner}:{'3399000'[:length]}" for owner in (1, 2) for length in range(8)]
    assert {*beginnings, "dest:33", "pg:3", "pg:4"} <= tables.records.keys()
    assert not any(name.startswith(("rules:1:44", "dest:44")) for name in tables.records)
    assert {field for _, field in tables.rates} == {"3", "33", "331", "3314", "339", "3399"}


@pytest.mark.parametrize("ported", [None, PortedNumber("332", "4411"), PortedNumber("331", "331")])
def test_what_is_not_ported_needs_no_more(
    redis_client: RedisClient, tables: Tables, ported: PortedNumber | None
) -> None:
    """No record, another number's, or one that only names a carrier: nothing but what was asked for comes."""
    name = keys.ported(ported.digits if ported else "331")
    ConfigWriter(redis_client).load({name: ported}, {})
    tables.fetch(Need((name, "rules:1:33"), "33140000"))
    assert tables.records.keys() == {name, "rules:1:33"}


def test_rates_of_two_numbers(redis_client: RedisClient, tables: Tables) -> None:
    """Customers' prices are found by the dialled number, carriers' by the routing number."""
    world = World()
    ConfigWriter(redis_client).load(world.records, world.rates)
    tables.fetch(Need(("tar:50",), "33140000,449900"))
    assert {field for _, field in tables.rates} == {"3", "33", "331", "3314", "4", "44", "449", "4499"}
