"""What an attempt sends."""

from __future__ import annotations

import pytest

from kemi.core.outcome import Header, Target
from kemi.core.targets import ALWAYS_REMOVED, REMOVED_FROM_SUBSCRIBERS, escaped
from kemi.core.uri import parse_uri
from kemi.records import RewriteRule, RewriteSet
from tests.fakes.world import ACME_1, ACME_2, BELL_1, BOB, BOB_NUMBER, World, from_peer, from_trunk, invite


def target(world: World, server_id: int, **fields: str) -> Target:
    targets = world.route(from_trunk(caller="442070000010@pbx.example", **fields)).targets
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


def test_a_carrier_without_rules_gets_plain_numbers() -> None:
    """E.164 digits; an IPv6 address stands in brackets; port and transport have defaults."""
    made = target(World(), BELL_1)
    assert made.ruri == "sip:33140000000@[2001:db8::4]:5060"
    assert made.next_hop == "sip:[2001:db8::4]:5060;transport=udp"
    assert made.from_uri == "sip:442070000010@a.example"


def test_transport_and_port_are_the_servers() -> None:
    """What the record says is where the call goes."""
    assert target(World(), ACME_2).next_hop == "sip:203.0.113.8:5070;transport=tcp"


def test_a_hidden_caller_is_asserted_and_not_shown() -> None:
    """RFC 3325: the carrier is told who calls, and to tell nobody."""
    made = target(World(), ACME_1, privacy="id")
    assert made.from_uri == "sip:anonymous@anonymous.invalid"
    assert made.from_display == "Anonymous"
    assert made.headers == (
        Header("P-Asserted-Identity", "<sip:+442070000010@a.example>"),
        Header("Privacy", "id"),
    )


@pytest.mark.parametrize("header", ["History-Info", "P-Charge-Info", "Identity", "Referred-By"])
def test_what_tells_of_others_goes_no_further(header: str) -> None:
    """Neither to carriers nor to phones, whoever sent it."""
    world = World()
    attempts = (
        target(world, ACME_1),
        world.route(invite(callee=BOB_NUMBER)).targets[0],
        world.route(from_peer()).targets[0],
    )
    assert all(header in attempt.remove for attempt in attempts)


@pytest.mark.parametrize(
    ("contact", "sent"),
    [
        ('"Joe Real" <sip:line@192.0.2.9;ob>;+sip.instance="<urn:uuid:1>"', ["<sip:line@192.0.2.9;ob>"]),
        ('"a <sip:b@c>" <sip:line@192.0.2.9>', ["<sip:line@192.0.2.9>"]),
        ("sip:line@192.0.2.9", []),
        ("<sip:open@192.0.2.9", []),
        ("", []),
    ],
)
def test_a_hidden_caller_leaves_no_other_trace(contact: str, sent: list[str]) -> None:
    """The Contact must stay, but says no more than where he is reached. RFC 3323 §5.3."""
    world = World()
    hidden = from_trunk(privacy="id", contact=contact), invite(callee=BOB_NUMBER, privacy="id", contact=contact)
    for call in hidden:
        attempt = world.route(call).targets[0]
        assert {"Reply-To", "Call-Info", "Organization", "User-Agent", "Subject"} < set(attempt.remove)
        assert [header.value for header in attempt.headers if header.name == "Contact"] == sent
        assert ("Contact" in attempt.remove) is bool(sent)
    for call in hidden:
        attempt = world.route(call._replace(privacy="")).targets[0]
        assert not {"Contact", "Reply-To", "User-Agent"} & set(attempt.remove)


def test_a_caller_without_a_number_gets_none_from_a_rule() -> None:
    """A rule that prepends a "+" makes no number out of nothing."""
    world = World()
    world.change("sub:trunk@a.example", cli="")
    made = next(t for t in world.route(from_trunk(caller="x@pbx.example")).targets if t.pinned.server_id == ACME_1)
    assert (made.from_uri, made.from_display, made.headers) == ("sip:anonymous@anonymous.invalid", "Anonymous", ())


@pytest.mark.parametrize(
    "header",
    [
        "Authorization",
        "Proxy-Authorization",
        "P-Asserted-Identity",
        "P-Preferred-Identity",
        "Remote-Party-ID",
        "Privacy",
        "Diversion",
        "X-Tandem-*",
    ],
)
def test_what_a_subscriber_says_of_itself_goes_no_further(header: str) -> None:
    """Neither to carriers nor to phones."""
    world = World()
    for route in (world.route(invite()), world.route(invite(callee=BOB_NUMBER))):
        assert all(header in target.remove for target in route.targets)


def test_a_peer_may_report_a_diversion() -> None:
    """A forwarded call keeps saying from where; the peer's other identity headers have been read and go."""
    made = World().route(from_peer()).targets[0]
    assert set(made.remove) == set(ALWAYS_REMOVED) == set(REMOVED_FROM_SUBSCRIBERS) - {"Diversion"}


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


@pytest.mark.parametrize("user", ["+4420", "*21#", "a b", "é", "\udcff", "100%"])
def test_an_escaped_user_is_readable_as_one(user: str) -> None:
    """Any text makes a user that a SIP parser accepts."""
    assert parse_uri(f"sip:{escaped(user)}@x") is not None
