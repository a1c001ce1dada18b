"""Emergency calls."""

from __future__ import annotations

from typing import Any

import pytest

from kemi.core.emergency import SERVERS_MAX, is_one_somewhere, route_for
from kemi.core.outcome import Challenge, Header, Route
from kemi.records import Emergency, EmergencyRoute, Identity, PeerServer, RewriteRule, RewriteSet
from tests.fakes.world import (
    ACME_1,
    ACME_2,
    ALICE,
    ALICE_NUMBER,
    BELL_1,
    CAROL,
    TRUNK,
    ColdStore,
    World,
    from_peer,
    from_trunk,
    invite,
    request,
    uri,
)


def regional() -> World:
    """Return a world in which 110 is an emergency in the north, at bell."""
    world = World()
    world.emergency = Emergency((EmergencyRoute("", "110", (4,), "north"),))
    return world


def servers(world: World, **fields: Any) -> list[int]:
    return [target.pinned.server_id for target in world.route(invite(callee="112"), **fields).targets]


def test_the_domains_own_route_comes_first() -> None:
    """A number means an emergency where its domain says so, else its region, else where everybody does."""
    everywhere, own, bare = World().emergency.routes[0], EmergencyRoute("b.example", "112", (4,)), EmergencyRoute
    north, south = bare("", "112", (4,), "north"), bare("", "112", (4,), "south")
    table = Emergency((south, north, everywhere, own))
    assert route_for(table, "b.example", "north", "112") == own
    assert route_for(table, "a.example", "north", "112") == north
    assert route_for(table, "a.example", "south", "112") == south
    assert route_for(table, "a.example", "", "112") == route_for(table, "a.example", "west", "112") == everywhere
    assert route_for(table, "", None, "112") == everywhere
    assert route_for(table, "a.example", "", "911") is None
    assert is_one_somewhere(table, "112")
    assert not is_one_somewhere(table, "0112")


def test_a_regional_number_is_none_elsewhere() -> None:
    """Unless nobody can say where the caller is: then somebody answers rather than nobody."""
    north, own = EmergencyRoute("", "110", (4,), "north"), EmergencyRoute("b.example", "110", (3,))
    table = Emergency((own, north))
    assert route_for(table, "a.example", "south", "110") is None
    assert route_for(table, "a.example", "", "110") is None
    assert route_for(table, "a.example", None, "110") == north
    assert route_for(Emergency((own,)), "a.example", None, "110") is None


def test_a_line_is_where_it_says_else_where_its_domain_is() -> None:
    """Its own region replaces that of its domain."""
    world = regional()
    assert world.refusal(invite(callee="110")).reason == "no_rate"
    world.change("dom:a.example", region="north")
    assert world.route(invite(callee="110")).emergency
    world.change(f"sub:{ALICE}", region="south")
    assert world.refusal(invite(callee="110")).reason == "no_rate"


def test_what_is_called_may_be_another_number() -> None:
    """The route's own, as it is written there; the call is recorded under what was dialled."""
    world = World()
    world.emergency = Emergency((EmergencyRoute("", "112", (4,), routing="+4930112"),))
    route = world.route(invite(callee="112"))
    assert route.targets[0].ruri == "sip:+4930112@[2001:db8::4]:5060"
    assert route.call.callee == "112"


@pytest.mark.parametrize(
    ("known", "goes"),
    [
        ((), True),
        ((f"sub:{ALICE}",), True),
        (("dom:a.example",), True),
        (("dom:a.example", f"sub:{ALICE}"), False),
    ],
)
def test_without_the_store_a_region_counts_where_it_is_cached(known: tuple[str, ...], goes: bool) -> None:
    """Alice is known to be in no region, so 110 is no emergency of hers; of who may be anywhere it is one."""
    world = regional()
    records = {name: world.records[name] for name in (*known, "pg:4")}
    decision = world.decide(request(callee="110"), store_up=False, records=records)
    assert isinstance(decision, Route) is goes
    world.change("dom:a.example", region="north")
    records = {name: world.records[name] for name in (*known, "pg:4")}
    assert isinstance(world.decide(request(callee="110"), store_up=False, records=records), Route)


@pytest.mark.parametrize(
    ("known", "servers"),
    [
        ((), {BELL_1}),
        (("dom:a.example",), {ACME_1, ACME_2}),
        ((f"sub:{ALICE}",), {BELL_1}),
        (("dom:a.example", f"sub:{ALICE}"), set()),
    ],
)
def test_without_the_store_the_line_says_more_than_its_domain(known: tuple[str, ...], servers: set[int]) -> None:
    """The line is in the west, its domain in the south; the first route is the north's."""
    world = regional()
    world.emergency = Emergency((*world.emergency.routes, EmergencyRoute("", "110", (3,), "south")))
    world.change("dom:a.example", region="south")
    world.change(f"sub:{ALICE}", region="west")
    records = {name: world.records[name] for name in (*known, "pg:3", "pg:4")}
    decision = world.decide(request(callee="110"), store_up=False, records=records)
    found = decision.targets if isinstance(decision, Route) else ()
    assert {target.pinned.server_id for target in found} == servers


@pytest.mark.parametrize(
    "obstacle",
    [
        lambda world: world.change("acct:5", status=1),
        lambda world: world.change("acct:1", status=2),
        lambda world: world.change("acct:3", barred=("",)),
        lambda world: world.records.pop("acct:3"),
        lambda world: world.records.pop("tar:20"),
        lambda world: world.change(f"sub:{TRUNK}", status=1),
        lambda world: world.change(f"sub:{TRUNK}", cli_policy=2),
        lambda world: world.put("rws:1", RewriteSet(1, "", callee_in=(RewriteRule(1, 1, ".*", "nonsense"),))),
    ],
)
def test_nothing_about_a_known_caller_stops_it(obstacle: Any) -> None:
    """Barring, status, tariffs, a broken tree, caller ID policy and rewriting do not count."""
    world = World()
    obstacle(world)
    route = world.route(from_trunk(callee="112", caller="33199@pbx.example"))
    assert route.emergency
    assert route.call.emergency
    assert [target.pinned.server_id for target in route.targets][-1] == BELL_1


def test_it_is_free_and_still_takes_channels() -> None:
    """Every level has a leg at price 0, and no server has a cost."""
    route = World().route(invite(callee="112"))
    assert [leg.payer_id for leg in route.call.legs] == [5, 3, 2]
    assert [row.price_micros for row in route.hold.rows] == [(0, 0, 0)]
    assert all(target.cost is None for target in route.call.targets)


def test_an_unknown_caller_is_asked_who_he_is() -> None:
    """While the store is up an emergency number is no way around identification."""
    assert isinstance(World().decide(request(callee="112")), Challenge)


def test_a_peer_has_no_emergencies_here() -> None:
    """A carrier's caller is somebody else's subscriber."""
    assert World().refusal(from_peer(callee="112")).reason == "not_found"


def test_the_number_goes_as_dialled_and_the_caller_can_be_called_back() -> None:
    """Neither privacy nor a claim that is not allowed hides who needs help."""
    route = World().route(from_trunk(callee="112", caller="33199@pbx.example", privacy="id"))
    assert route.call.callee == "112"
    assert route.call.caller == "442070000010"
    target = route.targets[0]
    assert target.ruri.startswith("sip:112@203.0.113.")
    assert target.from_uri == "sip:+442070000010@a.example"
    assert target.from_display == "+442070000010"
    assert target.headers == (Header("P-Asserted-Identity", "<sip:+442070000010@a.example>"),)


def test_an_allowed_claim_is_kept() -> None:
    """A PBX may say which of its phones calls."""
    route = World().route(from_trunk(callee="112", caller="02070000015@pbx.example"))
    assert (route.call.caller, route.targets[0].from_display) == ("442070000015", "")


def test_a_server_is_told_the_caller_as_it_wants() -> None:
    """In its headers; but the number to call back is shown, not the line's own, and no diversion is invented."""
    world = World()
    identity = Identity(shown="own", headers=("rpid", "diversion"), host="tandem.example")
    for server_id in (ACME_1, ACME_2):
        world.change_server(server_id, identity=identity, channels_max=1, cps_max=1, ring_max_s=9)
    target = world.route(from_trunk(callee="112", caller="02070000015@pbx.example")).targets[0]
    told = "<sip:+442070000015@tandem.example>"
    assert target.from_uri == told.strip("<>")
    assert target.headers == (Header("Remote-Party-ID", f"{told};party=calling;privacy=off"),)
    assert (target.limits.channels_max, target.limits.cps_max, target.limits.ring_max_s) == (0, 0, 9)


def test_a_hidden_line_is_not_hidden_here() -> None:
    """CLIR ends where help is called."""
    world = World()
    world.change(f"sub:{TRUNK}", is_hidden=True)
    assert world.route(from_trunk(callee="112")).targets[0].from_uri == "sip:+442070000010@a.example"


def test_a_server_without_an_address_is_passed_over() -> None:
    """Its name has not been resolved."""
    world = World()
    world.change_server(ACME_1, address="")
    assert servers(world) == [ACME_2, BELL_1]
    unresolved = [sentence for sentence in world.route(invite(callee="112")).trace if "not resolved" in sentence]
    assert unresolved == [f"server {ACME_1} passed over: its name is not resolved"]
    world.change_server(ACME_1, enabled=False)
    assert not any("not resolved" in sentence for sentence in world.route(invite(callee="112")).trace)


def test_a_disabled_server_is_left_out() -> None:
    """What an operator has switched off stays off."""
    world = World()
    world.change_server(ACME_1, enabled=False)
    assert servers(world) == [ACME_2, BELL_1]


def test_a_cold_cache_is_filled_first() -> None:
    """While the store is up nothing is passed over for not being cached."""
    decision, _ = ColdStore(World()).decide(invite(callee="112"), 3)
    assert isinstance(decision, Route)
    assert {target.pinned.server_id for target in decision.targets} == {ACME_1, ACME_2, BELL_1}


def test_without_the_store_a_domain_that_is_none_says_nothing() -> None:
    """As if nobody knew: the first regional centre serves."""
    world = regional()
    world.records["dom:nowhere.example"] = None
    call = request(caller="joe@nowhere.example", callee="110")
    assert [target.pinned.server_id for target in world.route(call, store_up=False).targets] == [BELL_1]


def test_servers_of_one_group_are_drawn() -> None:
    """By their weight, as for any other call."""
    world = World()
    firsts = {world.route(invite(callee="112", call_id=f"c{n}")).targets[0].pinned.server_id for n in range(40)}
    assert firsts == {ACME_1, ACME_2}


def test_dead_servers_are_tried_last() -> None:
    """Groups in the order of the route; a memory of failure moves a server back and never out."""
    world = World()
    assert set(servers(world)[:2]) == {ACME_1, ACME_2}
    assert servers(world)[2] == BELL_1
    down = servers(world)[0]
    assert servers(world, down_servers=frozenset((down,)))[-1] == down
    assert set(servers(world, down_servers=frozenset((ACME_1, ACME_2, BELL_1)))) == {ACME_1, ACME_2, BELL_1}


def test_disabled_and_missing_groups_are_left_out() -> None:
    """What an operator has switched off stays off; with nothing left the call has no route."""
    world = World()
    world.change("pg:3", enabled=False)
    assert servers(world) == [BELL_1]
    del world.records["pg:4"]
    refusal = world.refusal(invite(callee="112"))
    assert (refusal.reason, refusal.call and refusal.call.emergency) == ("no_route", True)


def test_a_plan_is_bounded() -> None:
    """More servers than could ever be tried in one call are cut."""
    world = World()
    many = tuple(PeerServer(100 + n, f"s{n}", "203.0.113.9", 5060, "udp", 1, enabled=True) for n in range(20))
    world.change("pg:3", servers=many)
    assert len(servers(world)) == SERVERS_MAX == 16


def test_without_the_store_nobody_has_to_be_known() -> None:
    """The tables are in memory, so the call goes: unidentified, uncharged, its From as it came."""
    route = World().route(request(callee="112"), store_up=False)
    assert route.emergency
    assert (route.call.source, route.call.legs, route.hold.funds) == ("", (), ())
    assert (route.targets[0].from_uri, route.targets[0].headers) == ("", ())
    assert route.call.caller == "alice"


def test_without_the_store_a_number_in_the_from_is_noted() -> None:
    """The CDR says who claimed to call."""
    call = request(callee="112", from_uri=uri("+442079460000@b.example"))
    assert World().route(call, store_up=False).call.caller == "442079460000"


def test_without_the_store_a_group_that_is_not_cached_is_passed_over() -> None:
    """What cannot be fetched is left out; the rest is tried."""
    world = World()
    records = {"pg:4": world.records["pg:4"]}
    route = world.route(request(callee="112"), store_up=False, records=records)
    assert [target.pinned.server_id for target in route.targets] == [BELL_1]
    assert "group 3 passed over: not cached" in route.trace


def test_the_domain_of_the_from_counts_without_the_store() -> None:
    """911 is an emergency in b.example only."""
    world = World()
    assert world.route(request(caller=CAROL, callee="911"), store_up=False).emergency
    assert world.refusal(request(callee="911"), store_up=False).reason == "store_down"


def test_a_draining_node_lets_it_pass() -> None:
    """Also where the number is an emergency only in the caller's own domain."""
    world = World()
    assert world.route(invite(callee="112"), draining=True).emergency
    assert world.route(invite(CAROL, "911"), draining=True).emergency
    assert world.refusal(invite(callee="911"), draining=True).reason == "draining"
    assert world.refusal(invite(callee=ALICE_NUMBER), draining=True).reason == "draining"
