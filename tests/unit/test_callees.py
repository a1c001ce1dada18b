"""Where a tenant's trunks and media servers may be: at nobody's address who would take the call for ours."""

from __future__ import annotations

import pytest

from kemi import keys
from kemi.core.outcome import Route
from kemi.records import MediaServer, Number, Subscriber, TrunkPlace
from tests.fakes.world import BOB, CAROL, CUSTOMER, PEER_IP, ROOT, ColdStore, World, invite

NUMBER = "442070000400"
FREE = "198.51.100.200"


def world_with(owner_id: int, address: str) -> World:
    """Return a world whose number reaches a media server of an account."""
    world = World()
    world.put(keys.media_server(3), MediaServer(3, owner_id, "ivr", address))
    world.put(keys.number(NUMBER), Number(NUMBER, CUSTOMER, 0, "", "media:3", "33900000000"))
    return world


def hops(route: Route) -> list[str]:
    """Return where the attempts go."""
    return [target.next_hop for target in route.targets]


def test_no_media_server_at_a_peers_address() -> None:
    """The carrier would take the call for ours, and nobody would pay; whoever wrote its address first."""
    call = invite(CAROL, callee=NUMBER)
    assert hops(world_with(CUSTOMER, FREE).route(call)) == [f"sip:{FREE}:5060;transport=udp"]
    refusal = world_with(CUSTOMER, PEER_IP).refusal(call)
    assert refusal.reason == "called_unavailable"
    left_out = f"media server 3: {PEER_IP} is left out: it is peer source 2 by {PEER_IP}/32"
    assert left_out in refusal.trace


def test_the_platforms_own_media_server_is_anywhere() -> None:
    route = world_with(ROOT, PEER_IP).route(invite(CAROL, callee=NUMBER))
    assert hops(route) == [f"sip:{PEER_IP}:5060;transport=udp"]


@pytest.mark.parametrize("did_in", ["ruri", "to"])
def test_a_trunks_places_at_a_peers_address_are_left_out(did_in: str) -> None:
    """The others are tried; an address is one however it is written."""
    world = World()
    places = (TrunkPlace(1, f"::ffff:{PEER_IP}"), TrunkPlace(2, FREE, priority=1), TrunkPlace(3, PEER_IP, 5070))
    world.change(keys.subscriber(BOB), kind="ip_trunk", places=places, did_in=did_in)
    number = Number(NUMBER, CUSTOMER, 0, BOB)
    assert isinstance(world.records[keys.subscriber(BOB)], Subscriber)
    world.put(keys.number(NUMBER), number)
    assert hops(world.route(invite(CAROL, callee=NUMBER))) == [f"sip:{FREE}:5060;transport=udp"]
    world.change(keys.subscriber(BOB), places=(places[0], places[2]))
    assert world.refusal(invite(CAROL, callee=NUMBER)).reason == "called_unavailable"


def test_a_cold_node_asks_for_all_addresses_at_once() -> None:
    """One fetch more, and only for calls to trunks at fixed addresses and to media servers."""
    world = World()
    places = tuple(TrunkPlace(n, f"198.51.100.{200 + n}") for n in range(8))
    world.change(keys.subscriber(BOB), kind="ip_trunk", places=places)
    world.put(keys.number(NUMBER), Number(NUMBER, CUSTOMER, 0, BOB))
    decision, fetches = ColdStore(world).decide(invite(CAROL, callee=NUMBER), 3)
    assert isinstance(decision, Route)
    assert (len(decision.targets), fetches) == (8, 3)
