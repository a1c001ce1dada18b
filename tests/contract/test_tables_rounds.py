"""How often a worker has to ask before it can decide: two fetches at most, whatever has changed since it asked last."""

from __future__ import annotations

from collections.abc import Callable
from typing import Any

import pytest

from kemi import keys
from kemi.adapters.redis_client import RedisClient
from kemi.adapters.redis_tables import Tables
from kemi.core.decide import decide
from kemi.core.outcome import Decision, Need
from kemi.core.request import CallRequest
from kemi.records import Masks, Number, Source, SourceKind, Sources
from tests.fakes.config_writer import ConfigWriter
from tests.fakes.world import (
    ALICE,
    BELL,
    BOB_NUMBER,
    CAROL_NUMBER,
    NEIGHBOUR,
    TRUNK,
    World,
    carrier_of,
    enrich,
    from_peer,
    from_trunk,
    invite,
    register,
    request,
)

FETCHES_MAX = 2
CALLS = (
    invite(),
    invite(callee=BOB_NUMBER),
    invite(callee=CAROL_NUMBER),
    invite(callee="112"),
    from_trunk(),
    from_peer(),
    from_peer(CAROL_NUMBER),
    register(),
    request(),
)


def touch_all(world: World) -> None:
    """Write every record once more, none of them changed."""


def add_masks(world: World) -> None:
    """Let alice's address be a trusted source by a mask that there was not, among others that say nothing of her."""
    world.put(keys.MASKS, Masks((32, 29, 24, 11), (64,)))
    trusted = Source(9, SourceKind.TRUSTED, "192.0.2.0/29", subscriber=TRUNK)
    world.put(keys.sources("192.0.2.0/29"), Sources((trusted,)))


def move_the_customer(world: World) -> None:
    """Hang alice's account somewhere else, where other carriers serve it."""
    world.change("acct:5", parent_id=NEIGHBOUR)
    world.carrier(carrier_of(NEIGHBOUR, 7), 1_000)


def rebuild_prices(world: World) -> None:
    """Give every tariff other rate sets, and what else it can have."""
    enrich(world)


def rename_lines(world: World) -> None:
    """Let the lines belong to another customer, in a domain with other rewrite rules."""
    world.change(f"sub:{ALICE}", account_id=NEIGHBOUR, rewrite_set_id=2)
    world.change("dom:a.example", rewrite_set_id=2)
    world.change(f"num:{BOB_NUMBER}", subscriber="carol@b.example")


def replace_carriers(world: World) -> None:
    """Let other groups take the calls, peers and emergency calls included."""
    world.carrier(carrier_of(1, 9), 1_000)
    world.change(f"pg:{BELL}", rewrite_set_id=2, tariff_id=20)
    world.change("pg:3", inbound_rules=(), tariff_id=30)


CHANGES: tuple[Callable[[World], None], ...] = (
    touch_all,
    add_masks,
    move_the_customer,
    rebuild_prices,
    rename_lines,
    replace_carriers,
)


def load(client: RedisClient, world: World) -> ConfigWriter:
    writer = ConfigWriter(client)
    writer.load(world.records, world.rates)
    return writer


def answer(world: World, tables: Tables, call: CallRequest) -> tuple[Decision, int]:
    """Return a worker's decision, and how many fetches it took."""
    facts = world.facts(records=tables.records, rates=tables.rates, emergency=tables.emergency)
    for fetches in range(10):
        outcome = decide(call, facts._replace(emergency=tables.emergency))
        if not isinstance(outcome, Need):
            return outcome, fetches
        tables.fetch(outcome)
    raise AssertionError(f"no decision after ten fetches; still needed: {outcome}")


@pytest.mark.parametrize("is_mass", [False, True])
@pytest.mark.parametrize("change", CHANGES)
def test_two_fetches_bring_a_worker_up_to_date(
    redis_client: RedisClient, change: Callable[[World], None], is_mass: bool
) -> None:
    """Cold or warm from any call before, after any change, and after so many that everything is dropped."""
    for number, call in enumerate(CALLS):
        redis_client.execute("FLUSHALL")
        world = World()
        writer = load(redis_client, world)
        tables = Tables(redis_client)
        tables.load_pinned()
        for before in CALLS[number + 1 : number + 1 + number % 4]:
            answer(world, tables, before)
        change(world)
        if is_mass:
            writer.write({keys.number(f"9{n:05}"): Number(f"9{n:05}", 5, 0, "") for n in range(1_100)})
        for (set_id, field), bucket in world.rates.items():
            writer.store.add_buckets(set_id, [(field, bucket)])
        writer.write(world.records)
        decision, fetches = answer(world, tables, call)
        if not fetches:  # nothing was missing: the hold says what is stale
            tables.fetch(Need(()))
            decision, fetches = answer(world, tables, call)
        assert decision == world.decide(call), call
        assert fetches <= FETCHES_MAX, call
        assert answer(world, tables, call) == (decision, 0)


def test_a_worker_that_knows_nothing_asks_twice(redis_client: RedisClient) -> None:
    """Not even the masks: it asks for all that they could lead to."""
    world = World()
    load(redis_client, world)
    for call in CALLS:
        tables = Tables(redis_client)
        assert answer(world, tables, call)[1] <= FETCHES_MAX


def test_what_has_not_changed_is_not_sent_again(redis_client: RedisClient) -> None:
    """A second call from a known line brings what is new about it, and no more."""
    world = World()
    load(redis_client, world)
    tables = Counting(redis_client)
    tables.load_pinned()
    answer(world, tables, invite())
    tables.learnt.clear()
    answer(world, tables, invite(callee="33140000001"))
    assert not [name for name in tables.learnt if name.startswith(("acct:", "sub:", "dom:", "src:", "masks"))]


def test_a_name_of_hostile_spelling_is_left_out(redis_client: RedisClient) -> None:
    """What separates the held names cannot stand in one of them."""
    world = World()
    writer = load(redis_client, world)
    tables = Tables(redis_client)
    tables.fetch(Need(("acct:5",)))
    writer.write({"acct:5": world.records["acct:5"], "acct:8": world.records["acct:8"]})
    tables.fetch(Need(("masks",), held=("sub:x\x1facct:8@a", "?", "acct:5")))
    assert "acct:5" in tables.records
    assert "acct:8" not in tables.records


class Counting(Tables):
    """Tables that remember what came."""

    def __init__(self, client: RedisClient) -> None:
        super().__init__(client)
        self.learnt: list[str] = []

    def _learn(self, name: str, value: Any) -> None:
        self.learnt.append(name)
        super()._learn(name, value)
