"""Numbers that another network serves now."""

from __future__ import annotations

from typing import Any

import pytest

from kemi.core.draft import Draft
from kemi.core.known import Known
from kemi.core.outcome import Need
from kemi.core.ported import lookup, names, numbers
from kemi.core.request import E164
from kemi.records import Destination, Destinations, Lengths, PeeringRule, PortedNumber, Rate
from tests.fakes.world import (
    ABROAD,
    ACME,
    ACME_1,
    ACME_2,
    BELL,
    BELL_1,
    NEIGHBOUR,
    OWN,
    OWN_1,
    ColdStore,
    World,
    carrier_of,
    invite,
)

ROUTING = "49199000000"


def ported_world(**entries: Any) -> World:
    """ABROAD is ported to ROUTING, a number that only bell takes, by a rule and a deck of its own."""
    world = World()
    entry = PortedNumber(ABROAD, ROUTING)._replace(**entries)
    world.put(f"lnp:{entry.digits}", entry)
    world.put("lnplens", Lengths((11, 4)))
    world.tariff(300 + BELL, {"4919": Rate(9_000)})
    world.rule(PeeringRule(77, BELL, "4919"))
    world.rule(PeeringRule(78, ACME, "4919"))
    return world


def find(world: World, number: str = ABROAD) -> PortedNumber | None:
    return lookup(Draft(invite(), world.facts()), E164(number))


def test_the_longest_entry_counts() -> None:
    """A number of its own within a range that was ported."""
    world = ported_world()
    world.put("lnp:3314", PortedNumber("3314", "33555"))
    assert find(world) == PortedNumber(ABROAD, ROUTING)
    assert find(world, "33149999999") == PortedNumber("3314", "33555")
    assert find(world, "33159999999") is None


def test_what_is_cached_says_beforehand_by_which_number_it_goes() -> None:
    """So that all of a stage is fetched at once: the longest beginning that is known, whatever the lengths are."""
    for digits, routing, routed in (
        (ABROAD, ROUTING, ROUTING),
        (ABROAD, "", ABROAD),
        (ABROAD[:4], "49", "49" + ABROAD[4:]),
        (ABROAD[:3], "49", "49" + ABROAD[3:]),
        (ABROAD[:1], "49", "49" + ABROAD[1:]),
    ):
        world = World()
        world.put(f"lnp:{digits}", PortedNumber(digits, routing))
        assert list(numbers(Known(world.facts()), ABROAD)) == [ABROAD, routed]
    world.put(f"lnp:{ABROAD[:2]}", PortedNumber(ABROAD[:2], "1"))
    assert list(numbers(Known(world.facts()), ABROAD)) == [ABROAD, "1" + ABROAD[2:]]
    assert list(numbers(Known(World().facts()), ABROAD)) == [ABROAD]


def test_only_entries_of_lengths_that_there_are_are_read() -> None:
    """All beginnings while that is not known."""
    warm = Known(World().facts()._replace(records={"lnplens": Lengths((11, 4, 1, 0, 99))}))
    assert list(names(warm, ABROAD)) == ["lnplens", f"lnp:{ABROAD}", "lnp:3314", "lnp:3"]
    cold = Known(World().facts()._replace(records={}))
    assert list(names(cold, "331")) == ["lnplens", "lnp:331", "lnp:33", "lnp:3"]


def test_nothing_is_read_where_nothing_is_ported() -> None:
    """Without lengths there are no entries, and no call pays for looking."""
    draft = Draft(invite(), World().facts())
    assert lookup(draft, E164(ABROAD)) is None
    assert draft.known.used == ("lnplens",)


@pytest.mark.parametrize(
    "entry", [PortedNumber("44", ROUTING), PortedNumber(ABROAD, "D027"), PortedNumber(ABROAD, "1" * 25)]
)
def test_an_entry_that_cannot_be_used_counts_as_none(entry: PortedNumber) -> None:
    """It is another number's, routes by no digits or by too many. A shorter one does not take its place."""
    world = ported_world()
    world.put("lnp:3314", PortedNumber("3314", "33555"))
    world.put(f"lnp:{ABROAD}", entry)
    assert find(world) is None
    assert any("cannot be used" in sentence for sentence in world.route(invite()).trace)


def test_an_entry_without_a_routing_number_only_names_the_carrier() -> None:
    """The number stays what it is."""
    world = ported_world(routing="", group_id=BELL)
    assert find(world) == PortedNumber(ABROAD, ABROAD, BELL)


def test_carriers_are_chosen_by_the_routing_number() -> None:
    """Its rules and its rates in the carriers' decks count; acme has a rule for it and no rate."""
    world = ported_world()
    route = world.route(invite())
    assert [target.pinned.server_id for target in route.targets] == [BELL_1]
    assert (route.call.callee, route.call.routing) == (ABROAD, ROUTING)
    cost = route.call.targets[0].cost
    assert cost is not None
    assert cost.prefix == "4919"
    assert {choice.group_id: choice.why for choice in route.choices} == {
        BELL: "",
        ACME: f"no rate for {ROUTING} in its deck",
    }


def test_customers_pay_for_what_they_dialled() -> None:
    """Nobody has a price for 49, and the call goes."""
    assert [leg.prefix for leg in ported_world().route(invite()).call.legs] == ["33"] * 3


def test_the_expected_length_is_that_of_the_routing_number() -> None:
    """Destinations go with the carriers."""
    world = ported_world()
    world.put("dest:33", Destinations((Destination("33", 600),)))
    world.put("dest:49", Destinations((Destination("4919", 60),)))
    assert [choice.expected_s for choice in world.route(invite()).choices if not choice.why] == [60]


def test_only_the_network_that_serves_it_takes_it() -> None:
    """All others are left out, and told."""
    world = ported_world(routing="", group_id=OWN)
    route = world.route(invite())
    assert [target.pinned.server_id for target in route.targets] == [OWN_1]
    why = {choice.group_id: choice.why for choice in route.choices}
    assert why == {OWN: "", ACME: "number is ported to group 6 (own)", BELL: "number is ported to group 6 (own)"}


@pytest.mark.parametrize(
    "change",
    [
        lambda world: world.change("pg:6", enabled=False),
        lambda world: world.change("pg:6", spent="day"),
        lambda world: world.change_server(OWN_1, enabled=False),
        lambda world: world.change("acct:2", owns_carriers=False),
        lambda world: world.tariff(306, {"34": Rate(1)}),
        lambda world: world.records.pop("pg:6"),
    ],
)
def test_an_only_network_that_takes_no_such_call_leaves_it_to_the_others(change: Any) -> None:
    """An entry is no black hole: then the routing number alone decides, and the trace says so."""
    world = ported_world(routing="", group_id=OWN)
    change(world)
    route = world.route(invite())
    assert {target.pinned.group_id for target in route.targets} == {ACME}
    assert "number is ported to a carrier that takes no such call: chosen by its routing number" in route.trace


def test_a_foreign_only_network_is_nobody_here() -> None:
    """Another tenant's carrier takes nothing away, and no trace names it."""
    world = ported_world(routing="", group_id=77)
    world.carrier(carrier_of(NEIGHBOUR, 77), 1_000)
    route = world.route(invite())
    assert {target.pinned.group_id for target in route.targets} == {ACME, OWN}
    assert not [sentence for sentence in route.trace if "77" in sentence]


def test_our_own_numbers_are_not_looked_up() -> None:
    """A number that was ported to us is ours."""
    world = ported_world()
    world.put("lnp:442070000002", PortedNumber("442070000002", ROUTING))
    world.put("lnplens", Lengths((12,)))
    route = world.route(invite(callee="442070000002"))
    assert (route.call.direction, route.call.routing) == ("internal", "")
    assert not {name for name in route.hold.used if name.startswith("lnp")}


def test_a_number_that_is_routed_as_it_is_has_no_routing_number() -> None:
    """The CDR says nothing where there is nothing to say."""
    assert ported_world(routing=ABROAD).route(invite()).call.routing == ""


@pytest.mark.parametrize("lengths", [None, Lengths((11,)), Lengths((4,)), Lengths(())])
def test_a_cold_call_to_a_ported_number_costs_two_fetches(lengths: Lengths | None) -> None:
    """Whatever is known of the lengths beforehand: nothing, the truth, or what was true before."""
    world = ported_world()
    store = ColdStore(world)
    if lengths is not None:
        store.records["lnplens"] = world.records["lnplens"]
    assert store.decide(invite(), rounds_max=2) == (world.decide(invite()), 2)


def test_a_hole_in_a_warm_cache_costs_one_fetch() -> None:
    """The entry was dropped with what it leads to; the rules of the number itself are still there."""
    world = ported_world()
    store = ColdStore(world)
    store.decide(invite(), rounds_max=2)
    for name in [name for name in store.records if name == f"lnp:{ABROAD}" or name.startswith("rules:1:49")]:
        del store.records[name]
    store.rates = {key: bucket for key, bucket in store.rates.items() if not key[1].startswith("4")}
    assert store.decide(invite(), rounds_max=2) == (world.decide(invite()), 1)


def test_known_lengths_are_all_that_is_asked_for() -> None:
    """While they are unknown, every beginning might be ported."""
    world = ported_world()
    warm = Draft(invite(), world.facts()).known
    assert list(names(warm, ABROAD)) == ["lnplens", f"lnp:{ABROAD}", "lnp:3314"]
    cold = Draft(invite(), world.facts(records={})).known
    assert len(list(names(cold, ABROAD))) == 1 + len(ABROAD)
    assert isinstance(cold.need("lnplens"), Need)


def test_both_servers_of_the_network_may_take_it() -> None:
    """The entry names the group."""
    world = ported_world(routing="", group_id=ACME)
    assert {target.pinned.server_id for target in world.route(invite()).targets} == {ACME_1, ACME_2}
