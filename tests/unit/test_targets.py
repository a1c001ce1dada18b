"""What an attempt sends."""

from __future__ import annotations

from typing import Any

import pytest

from kemi.core.caller_id import CallerId
from kemi.core.draft import Draft
from kemi.core.outcome import Candidate, Header, ServerLimits, Target
from kemi.core.request import E164
from kemi.core.targets import escaped, to_carrier
from kemi.core.uri import parse_uri
from kemi.records import (
    HuntRule,
    Login,
    PeeringRule,
    PinnedLeg,
    PinnedTarget,
    PortedNumber,
    Rate,
    RewriteRule,
    RewriteSet,
)
from tests.fakes.world import (
    ABROAD,
    ACME,
    ACME_1,
    ACME_2,
    ALICE,
    BELL_1,
    BOB,
    BOB_NUMBER,
    TRUNK,
    World,
    from_peer,
    from_trunk,
)

OWN = "442070000010"


def made_of(world: World, ported: PortedNumber | None) -> Target:
    """Return acme's first attempt at a number that may be ported."""
    group: Any = world.records["pg:3"]
    rates = PinnedLeg(0, 1, 1, "EUR", "", 303, 1303, "33", Rate(1))
    candidate = Candidate(PeeringRule(1, ACME, "33"), group, group.servers[0], rates, 0, 0)
    draft = Draft(from_trunk(), world.facts())
    return to_carrier(draft, candidate, CallerId(OWN, own=OWN), "a.example", E164(ABROAD), ported)


def target(world: World, server_id: int, **fields: str) -> Target:
    targets = world.route(from_trunk(**({"caller": f"{OWN}@pbx.example"} | fields))).targets
    return next(target for target in targets if target.pinned.server_id == server_id)


def test_a_carrier_is_spoken_to_in_its_dialect() -> None:
    """Called number and caller are rewritten by the carrier's rules; the identity is ours."""
    made = target(World(), ACME_1)
    assert made.ruri == "sip:0033140000000@203.0.113.7:5060"
    assert made.next_hop == "sip:203.0.113.7:5060;transport=udp"
    assert made.from_uri == "sip:+442070000010@a.example"
    assert made.from_display == ""
    assert made.headers == (Header("P-Asserted-Identity", "<sip:+442070000010@a.example>"),)
    assert made.pinned.name == "acme/one"


def test_a_trail_says_which_rules_a_server_met() -> None:
    """Those that changed something, each with its server; of a server without rules nothing."""
    trace = World().route(from_trunk(caller=f"{OWN}@pbx.example")).trace
    rewritten = [sentence for sentence in trace if sentence.startswith("server") and "→" in sentence]
    assert sorted(rewritten) == [
        f"server {server}: rule {rule}: {number} → {sign}{number}"
        for server in (ACME_1, ACME_2)
        for rule, number, sign in ((21, OWN, "+"), (22, ABROAD, "00"))
    ]
    assert f"server {BELL_1}: " not in trace


def test_a_caller_without_a_number_meets_no_rule() -> None:
    """There is nothing to rewrite, so nothing to tell."""
    world = World()
    world.change(f"sub:{TRUNK}", cli="")
    route = world.route(from_trunk(caller="anonymous@anonymous.invalid"))
    told = [sentence for sentence in route.trace if sentence.startswith("server ")]
    assert all("33140000000 → " in sentence for sentence in told)


def test_an_attempt_says_what_it_is_an_attempt_at() -> None:
    """What the reservation pins: group and server of a carrier, the line of a phone."""
    made = target(World(), ACME_1)
    assert (made.kind, made.pinned[:3]) == ("server", (ACME, ACME_1, "acme/one"))
    (phone,) = World().route(from_peer()).targets
    assert (phone.kind, phone.pinned) == ("local", PinnedTarget(0, 0, ALICE))
    urgent = World().route(from_trunk(callee="112")).targets[0]
    assert (urgent.kind, urgent.pinned.group_id) == ("server", ACME)


def test_a_carrier_without_rules_gets_plain_numbers() -> None:
    """E.164 digits; an IPv6 address stands in brackets; port and transport have defaults."""
    made = target(World(), BELL_1)
    assert made.ruri == "sip:33140000000@[2001:db8::4]:5060"
    assert made.next_hop == "sip:[2001:db8::4]:5060;transport=udp"
    assert made.from_uri == "sip:442070000010@a.example"


def test_transport_and_port_are_the_servers() -> None:
    """What the record says is where the call goes."""
    assert target(World(), ACME_2).next_hop == "sip:203.0.113.8:5070;transport=tcp"
    world = World()
    world.change_server(ACME_2, transport="tls", port=0)
    assert target(world, ACME_2).next_hop == "sip:203.0.113.8:5061;transport=tls"


def test_a_phone_sees_a_number_that_it_can_dial_back() -> None:
    """E.164 with "+" in its own domain, and no asserted identity."""
    made = World().route(from_peer(BOB_NUMBER, caller="33199999999@carrier.example")).targets[0]
    assert (made.kind, made.address_of_record, made.ruri, made.next_hop) == ("local", BOB, f"sip:{BOB}", "")
    assert made.from_uri == "sip:+33199999999@a.example"
    assert (made.headers, made.pinned.cost) == ((), None)


def test_what_a_rule_makes_stays_a_uri() -> None:
    """Characters that may not stand in a user are escaped: no rule can add a parameter, a header or a host."""
    world = World()
    rules = RewriteSet(2, "", callee_out=(RewriteRule(1, 1, "^", "1#;x@y>\r\n "),))
    world.put("rws:2", rules)
    made = target(world, ACME_1)
    assert made.ruri == "sip:1%23%3Bx%40y%3E%0D%0A%2033140000000@203.0.113.7:5060"
    assert parse_uri(made.ruri) is not None


@pytest.mark.parametrize(
    ("user", "written"),
    [
        ("+4420", "+4420"),
        ("-_.!~*'()&=+$,?/", "-_.!~*'()&=+$,?/"),
        ("*21#", "*21%23"),
        ("+", "+"),
        ("4420\n", "4420%0A"),
        ("٤٤", "%D9%A4%D9%A4"),
        (";:@<>", "%3B%3A%40%3C%3E"),
    ],
)
def test_a_user_is_escaped_where_it_must(user: str, written: str) -> None:
    """RFC 3261 §25.1: what may stand in a user part stands there as it is."""
    assert escaped(user) == written


@pytest.mark.parametrize("user", ["+4420", "*21#", "a b", "é", "\udcff", "100%"])
def test_an_escaped_user_is_readable_as_one(user: str) -> None:
    """Any text makes a user that a SIP parser accepts."""
    assert parse_uri(f"sip:{escaped(user)}@x") is not None


PORTED = PortedNumber("3314", "3365")
LNP_RULES = RewriteSet(
    2,
    "with rules of their own for ported numbers",
    caller_out=(RewriteRule(21, 1, "^", "+"),),
    callee_out=(RewriteRule(22, 1, "^", "00"),),
    caller_lnp=(RewriteRule(23, 1, "^44", "0"),),
    callee_lnp=(RewriteRule(24, 1, "^", "D"),),
)


@pytest.mark.parametrize(
    ("told", "user", "lnp_user"),
    [
        ("number", f"00{ABROAD}", f"00{ABROAD}"),
        ("routing", "0033650000000", "D33650000000"),
        ("rn", f"00{ABROAD};rn=+33650000000;npdi", f"00{ABROAD};rn=+33650000000;npdi"),
    ],
)
def test_a_ported_number_is_called_as_its_server_wants(told: str, user: str, lnp_user: str) -> None:
    """What was dialled, the routing number (by rules of its own where there are some), or both: RFC 4694."""
    for rules, expected in ((None, user), (LNP_RULES, lnp_user)):
        world = World()
        world.change_server(ACME_1, ported=told)
        if rules:
            world.put("rws:2", rules)
        assert made_of(world, PORTED).ruri == f"sip:{expected}@203.0.113.7:5060"
        assert made_of(world, None).ruri == f"sip:00{ABROAD}@203.0.113.7:5060"
        assert made_of(world, PortedNumber("33", "33")).ruri == f"sip:00{ABROAD}@203.0.113.7:5060"


def test_the_caller_of_a_routed_number_has_rules_of_its_own_too() -> None:
    """Where the routing number is called, and there are some."""
    world = World()
    world.put("rws:2", LNP_RULES)
    assert made_of(world, PORTED).from_uri == f"sip:+{OWN}@a.example"
    world.change_server(ACME_1, ported="routing")
    assert made_of(world, PORTED).from_uri == f"sip:0{OWN[2:]}@a.example"
    assert made_of(world, None).from_uri == f"sip:+{OWN}@a.example"
    world.put("rws:2", LNP_RULES._replace(caller_lnp=()))
    assert made_of(world, PORTED).from_uri == f"sip:+{OWN}@a.example"


def test_an_attempt_knows_what_it_has_to_obey() -> None:
    """As the server's record says; a redirect leads to the group's usable addresses only."""
    world = World()
    login, rule = Login("we", "acme.example", "0" * 32), HuntRule(480, "stop", 486, "Busy")
    world.change_server(
        ACME_1,
        socket="udp:192.0.2.1:5060",
        channels_max=3,
        cps_max=2,
        ring_max_s=30,
        pdd_max_ms=4_000,
        redirects=True,
        hunt=(rule,),
        login=login,
    )
    world.change_server(ACME_2, login=None)
    limits = ServerLimits(
        "udp:192.0.2.1:5060",
        3,
        2,
        30,
        4_000,
        redirects=True,
        hosts=("203.0.113.7", "203.0.113.8"),
        hunt=(rule,),
        login=login,
    )
    assert target(world, ACME_1).limits == limits
    assert target(world, ACME_2).limits == ServerLimits()
    world.change_server(ACME_2, enabled=False)
    assert target(world, ACME_1).limits.hosts == ("203.0.113.7",)
    assert World().route(from_peer()).targets[0].limits == ServerLimits()
