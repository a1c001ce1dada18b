"""Peers, trusted sources and inbound rules."""

from __future__ import annotations

from typing import Any

import pytest

from kemi.core.outcome import Challenge, Reject, Route
from kemi.core.pattern import WAYS_MAX, compile_pattern
from kemi.records import InboundRule, Masks, Source, SourceKind, Sources
from tests.fakes.world import ACME, ACME_1, ALICE_NUMBER, TRUNK, World, from_peer, from_trunk, invite, uri

HOME = "198.51.100.0/24"


def test_a_trusted_address_is_its_subscriber() -> None:
    """No password is asked for."""
    route = World().route(from_trunk())
    assert route.call.source == TRUNK
    assert f"trusted source 1 by {HOME} is sub {TRUNK}" in route.trace


@pytest.mark.parametrize(
    ("fields", "sentence"),
    [
        ({"transport": "tls"}, "trusted source 1 by 198.51.100.0/24 passed over: transport is udp, not tls"),
        ({"from_pattern": "^sip:9"}, "trusted source 1 by 198.51.100.0/24 passed over: From does not match ^sip:9"),
    ],
)
def test_a_source_that_does_not_fit_is_passed_over(fields: dict[str, Any], sentence: str) -> None:
    """The caller is challenged like anybody, never refused for coming from the right place the wrong way."""
    world = World()
    source = Source(1, SourceKind.TRUSTED, HOME, subscriber=TRUNK)._replace(**fields)
    world.put(f"src:{HOME}", Sources((source,)))
    decision = world.decide(from_trunk(caller="alice@a.example"))
    assert isinstance(decision, Challenge)
    assert decision.trace[0] == sentence


@pytest.mark.parametrize(
    "break_it",
    [
        lambda world: world.records.pop(f"sub:{TRUNK}"),
        lambda world: world.records.pop("dom:a.example"),
        lambda world: world.change("dom:a.example", enabled=False),
    ],
)
def test_a_source_of_nobody_is_passed_over(break_it: Any) -> None:
    """A trusted source counts while its subscriber exists in an enabled domain."""
    world = World()
    break_it(world)
    assert isinstance(world.decide(from_trunk(caller="carol@b.example")), Challenge)


def test_the_next_source_is_asked() -> None:
    """Sources have one total order, and a peer that passes a call over leaves it to the next."""
    world = World()
    world.change("pg:3", inbound_rules=(InboundRule(1, 1, "from", "user", "^44"),))
    world.put("src:203.0.113.0/24", Sources((Source(9, SourceKind.TRUSTED, "203.0.113.0/24", subscriber=TRUNK),)))
    assert world.route(from_peer(caller="44207@x.example")).call.source == "peer:acme"
    assert world.route(from_peer(caller="33207@x.example")).call.source == TRUNK


def test_no_masks_mean_no_sources() -> None:
    """A cell without any source network asks everybody for a password."""
    world = World()
    del world.records["masks"]
    assert isinstance(world.decide(from_trunk(caller="alice@a.example")), Challenge)
    world.put("masks", Masks((), ()))
    assert isinstance(world.decide(invite()), Route)


@pytest.mark.parametrize(
    "break_it",
    [
        lambda world: world.records.pop("pg:3"),
        lambda world: world.change("pg:3", enabled=False),
        lambda world: world.change("pg:3", servers=()),
        lambda world: world.change_server(ACME_1, enabled=False),
    ],
)
def test_a_disabled_peer_is_nobody(break_it: Any) -> None:
    """Its address is passed over; the call is decided as if the source did not exist."""
    world = World()
    break_it(world)
    refusal = world.refusal(from_peer())
    assert refusal.reason == "relaying_denied"
    assert refusal.trace[0] == "peer source 2 by 203.0.113.7/32 passed over: group 3 or its server is disabled"


@pytest.mark.parametrize(
    ("field", "part", "text"),
    [
        ("from", "user", "33199999999"),
        ("from", "domain", "carrier.example"),
        ("from", "uri", "sip:33199999999@carrier.example"),
        ("to", "user", "442070000001"),
        ("ruri", "uri", "sip:442070000001@sip.example"),
        ("pai", "user", "331234"),
        ("pai", "domain", "asserted.example"),
    ],
)
def test_a_rule_looks_at_its_part(field: str, part: str, text: str) -> None:
    """The pattern sees exactly the named part of the named header."""
    world = World()
    call = from_peer(pai='"Peer" <sip:331234@asserted.example>')
    world.change("pg:3", inbound_rules=(InboundRule(1, 1, field, part, f"^{text}$", 488, "No"),))
    assert isinstance(world.decide(call), Route)
    world.change("pg:3", inbound_rules=(InboundRule(1, 1, field, part, f"^{text}.$", 488, "No"),))
    assert isinstance(world.decide(call), Reject)


@pytest.mark.parametrize(("field", "pattern"), [("pai", "^sip:"), ("diversion", "."), ("from", "(")])
def test_a_rule_over_nothing_is_not_met(field: str, pattern: str) -> None:
    """An absent header, an unknown field and a broken pattern let nobody in."""
    world = World()
    world.change("pg:3", inbound_rules=(InboundRule(1, 1, field, "uri", pattern, 403, "No"),))
    assert world.refusal(from_peer()).reason == "inbound_rule"


def test_rules_that_take_too_long_let_nobody_in() -> None:
    """Postgres refuses them; a worker that is handed them all the same is not kept busy."""
    world = World()
    most = WAYS_MAX // compile_pattern(".*").ways
    rules = tuple(InboundRule(n, 1, "from", "user", ".*", 403, "No") for n in range(1, most + 2))
    world.change("pg:3", inbound_rules=rules[:-1])
    assert isinstance(world.decide(from_peer()), Route)
    world.change("pg:3", inbound_rules=rules)
    refusal = world.refusal(from_peer())
    assert refusal.trace[-2:] == (
        "inbound rules of group 3: its patterns from here on are not tried, for there are too many ways to try them",
        f"inbound rule {most + 1} of group 3 (acme) is not met",
    )


def test_a_rule_without_a_pattern_is_always_met() -> None:
    """It asks for nothing."""
    world = World()
    world.change("pg:3", inbound_rules=(InboundRule(1, 1, "pai", "uri", "", 403, "No"),))
    assert isinstance(world.decide(from_peer()), Route)


def test_the_first_failing_rule_answers() -> None:
    """Rules are asked by priority, then id; the first that is not met rejects with its own code and phrase."""
    world = World()
    rules = (
        InboundRule(3, 2, "from", "user", "never", 403, "Last"),
        InboundRule(2, 1, "from", "user", "never", 488, "Wrong Caller"),
        InboundRule(1, 1, "from", "user", "."),
    )
    world.change("pg:3", inbound_rules=rules)
    refusal = world.refusal(from_peer())
    assert (refusal.reason, refusal.status, refusal.phrase) == ("inbound_rule", 488, "Wrong Caller")
    assert refusal.trace[-1] == "inbound rule 2 of group 3 (acme) is not met"
    assert refusal.call is not None
    assert (refusal.call.source, refusal.call.direction) == ("peer:acme", "in")


def test_an_answer_that_cannot_be_sent_is_replaced() -> None:
    """A rule with a broken code or phrase still refuses."""
    world = World()
    world.change("pg:3", inbound_rules=(InboundRule(1, 1, "from", "user", "never", 99, "No"),))
    refusal = world.refusal(from_peer())
    assert (refusal.status, refusal.phrase) == (403, "Forbidden")


def test_a_peer_wins_a_tie_with_a_trusted_source() -> None:
    """Of one network the peer is asked first."""
    world = World()
    network = "203.0.113.7/32"
    peer = Source(7, SourceKind.PEER, network, group_id=ACME, server_id=ACME_1)
    trusted = Source(1, SourceKind.TRUSTED, network, subscriber=TRUNK)
    world.put(f"src:{network}", Sources((trusted, peer)))
    call = from_peer()._replace(from_uri=uri("442070000010@pbx.example"))
    assert world.route(call).call.source == "peer:acme"
    assert world.route(call).call.callee == ALICE_NUMBER
