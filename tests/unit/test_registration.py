"""How long a contact is kept, how many there may be, from where, and by which algorithm a line proves itself."""

from __future__ import annotations

from typing import Any

import pytest

from kemi.core.outcome import Challenge, Register, Reject
from kemi.core.registration import bounds, contacts_max, granted, knows_path, may_come_from
from kemi.core.request import CallRequest, Contact, SipUri
from kemi.records import Subscriber
from kemi.settings import Limits
from tests.fakes.world import ALICE, PEER_IP, Answer, World, credentials, ha1, register

PHONE = SipUri("sip", "ua", "192.0.2.1", 5062)


def a_line() -> Subscriber:
    found = World().records[f"sub:{ALICE}"]
    assert isinstance(found, Subscriber)
    return found


def asking(*expires: str, header: str = "", **fields: Any) -> CallRequest:
    contacts = tuple(Contact(PHONE, text="<sip:ua@192.0.2.1:5062>", expires=each) for each in expires)
    return register()._replace(contacts=contacts, expires=header, **fields)


@pytest.mark.parametrize(
    ("expires", "header", "seconds"),
    [
        ("60", "", 60),
        ("60", "90", 60),
        ("", "90", 90),
        ("", "", 3_600),
        ("0", "90", 0),
        ("", "0", 0),
        ("4294967296", "", 3_600),
        ("9" * 400, "", 3_600),
        ("-1", "", 3_600),
        ("1e3", "", 3_600),
        ("٣٠", "", 3_600),
        ('"60"', "", 3_600),
    ],
)
def test_a_contact_says_more_than_the_header_and_what_is_no_number_is_an_hour(
    expires: str, header: str, seconds: int
) -> None:
    assert granted(asking(expires, header=header), 30, 3_600) == (seconds,)


@pytest.mark.parametrize("expires", ["", "60", "soon", "-0", "4294967296", "8589934592", "0" * 11])
def test_a_star_without_an_expiry_of_nothing_is_malformed(expires: str) -> None:
    """The registrar counts modulo 2^32: what it takes for 0 must not come there."""
    refusal = World().decide(register()._replace(is_wildcard=True, expires=expires))
    assert isinstance(refusal, Reject)
    assert (refusal.reason, refusal.status) == ("malformed", 400)


def test_a_star_takes_all_away_and_stands_alone() -> None:
    alone = register()._replace(is_wildcard=True, expires="0")
    assert isinstance(World().decide(alone), Register)
    beside = World().decide(alone._replace(contacts=asking("0").contacts))
    assert isinstance(beside, Reject)
    assert beside.reason == "malformed"


def test_one_contact_that_is_too_short_refuses_all() -> None:
    assert granted(asking("600", "29"), 30, 3_600) is None
    assert granted(asking("600", "0"), 30, 3_600) == (600, 0)


def test_a_line_has_bounds_of_its_own() -> None:
    """A longest below the node's shortest is the shortest too: an empty range would refuse everybody."""
    line, limits = a_line(), Limits()
    assert bounds(line, limits) == (30, 3_600)
    assert bounds(line._replace(expires_min_s=120, expires_max_s=7_200), limits) == (120, 7_200)
    assert bounds(line._replace(expires_max_s=20), limits) == (20, 20)
    assert (contacts_max(line, limits), contacts_max(line._replace(contacts_max=100), limits)) == (10, 30)


def test_networks_of_a_line() -> None:
    line = a_line()
    assert may_come_from(line, "198.51.100.1")
    line = line._replace(register_from=("203.0.113.0/24", "2001:db8::/32"))
    assert [may_come_from(line, ip) for ip in ("203.0.113.9", "2001:db8::1", "198.51.100.1", "")] == [
        True,
        True,
        False,
        False,
    ]
    assert not may_come_from(line._replace(register_from=("anywhere",)), "203.0.113.9")


def test_a_right_password_from_elsewhere_looks_like_a_wrong_one() -> None:
    world = World()
    world.change(f"sub:{ALICE}", register_from=("203.0.113.0/24",))
    challenge = world.decide(register())
    assert isinstance(challenge, Challenge)
    assert "stale" not in challenge.values[0]
    assert isinstance(world.decide(register(source_ip="203.0.113.9")), Register)


@pytest.mark.parametrize(
    ("of_domain", "of_line", "offered"),
    [
        ("both", "", ["MD5", "SHA-256"]),
        ("sha256", "", ["SHA-256"]),
        ("md5", "", ["MD5"]),
        ("both", "sha256", ["SHA-256"]),
        ("sha256", "md5", ["MD5"]),
        ("sha256", "both", ["MD5", "SHA-256"]),
    ],
)
def test_the_line_says_by_what_else_its_domain(of_domain: str, of_line: str, offered: list[str]) -> None:
    world = World()
    world.change("dom:a.example", digest=of_domain)
    world.change(f"sub:{ALICE}", digest=of_line, ha1_sha256="0" * 63 + "1")
    challenge = world.decide(register()._replace(credentials=None))
    assert isinstance(challenge, Challenge)
    assert [value.partition("algorithm=")[2].partition(",")[0] for value in challenge.values] == offered


def test_an_answer_by_an_algorithm_that_is_not_wanted_proves_nothing() -> None:
    world = World()
    assert isinstance(world.decide(register()), Register)  # by MD5
    world.change("dom:a.example", digest="sha256")
    assert isinstance(world.decide(register()), Challenge)
    world.change(f"sub:{ALICE}", digest="md5")
    assert isinstance(world.decide(register()), Register)


@pytest.mark.parametrize(("of_domain", "of_line"), [("md5", ""), ("both", "md5"), ("both", "")])
def test_a_line_without_an_md5_hash_is_asked_for_the_other(of_domain: str, of_line: str) -> None:
    """And proves itself by it; who does not exist looks like any line of the domain."""
    world = World()
    world.change("dom:a.example", digest=of_domain)
    hashed = ha1("alice", "a.example", algorithm="sha256")
    world.change(f"sub:{ALICE}", digest=of_line, ha1_md5="", ha1_sha256=hashed)
    challenge = world.decide(register()._replace(credentials=None))
    assert isinstance(challenge, Challenge)
    assert ["algorithm=SHA-256" in value for value in challenge.values] == [True]
    proof = credentials(register(), Answer(algorithm="SHA-256"))
    assert isinstance(world.decide(register()._replace(credentials=proof)), Register)
    nobody = SipUri("sip", "nobody", "a.example")
    unknown = world.decide(register()._replace(credentials=None, from_uri=nobody, to_uri=nobody))
    assert isinstance(unknown, Challenge)
    assert len(unknown.values) == (1 if of_domain == "md5" else 2)


def test_too_short_is_told_with_the_least_and_too_many_at_once() -> None:
    world = World()
    refusal = world.decide(asking("10"))
    assert isinstance(refusal, Reject)
    assert (refusal.reason, refusal.status, refusal.min_expires_s) == ("expires", 423, 30)
    many = world.decide(asking(*["60"] * 31)._replace(credentials=None))
    assert isinstance(many, Reject)
    assert (many.reason, many.status) == ("contacts", 403)


@pytest.mark.parametrize(
    ("supported", "knows"), [("path", True), ("outbound, Path", True), ("", False), ("pathos", False)]
)
def test_who_knows_of_proxies(supported: str, knows: bool) -> None:
    assert knows_path(supported) is knows


@pytest.mark.parametrize(
    ("path", "supported", "came"),
    [
        ("192.0.2.1", "path", Register),
        ("192.0.2.1", "", "path"),
        ("192.0.2.2", "path", "contact"),
    ],
)
def test_a_proxy_is_called_only_where_the_request_came_from(path: str, supported: str, came: object) -> None:
    proxy = Contact(SipUri("sip", "", path, 5060))
    decision = World().decide(asking("60", path=(proxy,), supported=supported, source_ip="192.0.2.1"))
    assert (decision.reason if isinstance(decision, Reject) else type(decision)) == came


@pytest.mark.parametrize(
    ("host", "transport", "is_flow", "is_called_back"),
    [
        ("192.0.2.1", "udp", False, False),
        ("192.168.1.9", "udp", False, True),
        ("100.64.3.2", "udp", False, True),
        ("192.0.2.1", "udp", True, False),
        ("192.0.2.1", "tcp", True, True),
        ("192.0.2.1", "tcp", False, False),
        ("198.51.100.7", "udp", False, True),
        ("198.51.100.7", "tcp", False, True),
        ("2001:db8::1", "udp", False, True),
    ],
)
def test_who_is_called_back_where_he_came_from(
    host: str,
    transport: str,
    is_flow: bool,
    is_called_back: bool,
) -> None:
    """Another address than the phone has shown to have is called by nobody, whosever it may be."""
    contact = Contact(SipUri("sip", "ua", host, 5060), expires="60", is_flow=is_flow)
    decision = World().decide(asking()._replace(contacts=(contact,), transport=transport, source_ip="192.0.2.1"))
    assert isinstance(decision, Register)
    assert decision.is_called_back is is_called_back


def test_who_is_called_back_is_no_carrier_and_not_ourselves() -> None:
    """A source address may be forged, and the answer to a challenge made blindly."""
    inside = Contact(SipUri("sip", "00339", "10.9.9.9", 5060), expires="60")
    asked = asking()._replace(contacts=(inside,), source_ip="192.0.2.1")
    assert isinstance(World().decide(asked), Register)
    from_peer = asked._replace(source_ip=PEER_IP)
    proven = from_peer._replace(credentials=credentials(from_peer))
    for refused in (proven, asked._replace(is_from_us=True)):
        refusal = World().decide(refused)
        assert isinstance(refusal, Reject)
        assert refusal.reason == "contact"
