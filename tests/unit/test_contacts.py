"""Which contacts of a REGISTER are read, and which may be called."""

from __future__ import annotations

import time

import pytest

from kemi import keys
from kemi.core.contacts import parse_contacts
from kemi.core.decide import decide
from kemi.core.outcome import Need, Register
from kemi.core.request import UNCOUNTED, CallRequest, Contact, SipUri
from kemi.records import SourceKind, Sources
from tests.fakes.world import PEER_IP, ColdStore, World, credentials, register

PHONE = SipUri("sip", "ua", "192.0.2.9", 5062)


def uris(*values: str) -> tuple[SipUri, ...]:
    found = parse_contacts(values)
    assert found is not None
    return tuple(each.uri for each in found)


def contact(host: str, scheme: str = "sip", *, is_ours: bool = False) -> CallRequest:
    return register()._replace(contacts=(Contact(SipUri(scheme, "ua", host), is_ours),))


@pytest.mark.parametrize(
    "value",
    [
        "<sip:ua@192.0.2.9:5062>",
        "sip:ua@192.0.2.9:5062;expires=60;q=0.5",
        '"Alice \\" B" <sip:ua@192.0.2.9:5062;transport=udp;ob>;+sip.instance="<urn:uuid:1>";reg-id=1',
        "Alice A. <sip:ua@192.0.2.9:5062>\r\n ;expires = 60",
        "<SIP:ua@192.0.2.9:5062>",
    ],
)
def test_contacts_of_real_phones_are_read(value: str) -> None:
    assert uris(value) == (PHONE,)


def test_all_contacts_of_all_headers_count() -> None:
    second = SipUri("sip", "", "2001:db8::9")
    assert uris("<sip:ua@192.0.2.9:5062>, <sip:[2001:DB8::9]>", "sip:ua@192.0.2.9:5062") == (
        PHONE,
        second,
        PHONE,
    )
    assert parse_contacts([]) == parse_contacts(["*"]) == ()


@pytest.mark.parametrize(
    "value",
    [
        "",
        "<>",
        "<sip:ua@192.0.2.9>, ",
        "<sip:ua@192.0.2.9;maddr=203.0.113.7>",
        "<sip:ua@192.0.2.9;MADDR=203.0.113.7>",
        "<sip:ua@192.0.2.9>;received=203.0.113.7",
        "<sip:ua@192.0.2.9>;Received = sip:203.0.113.7",
        "<sip:ua@192.0.2.9?Route=%3Csip:203.0.113.7%3E>",
        "<sip:ua@192.0.2.9;x@203.0.113.7>",
        "<sip:ua:secret@192.0.2.9>",
        "<sip:ua@192.0.2.9> <sip:ua@203.0.113.7>",
        '"<sip:ua@192.0.2.9>" <sip:ua@203.0.113.7>',
        '"a\\" <sip:ua@192.0.2.9>, "b" <sip:ua@203.0.113.7>',
        "<mailto:ua@192.0.2.9>",
        "<sip:ua@192.0.2.9",
        "<sip:ua@192.0.2.9>;expires=60;expires=4294967296",
        "<sip:ua@192.0.2.9>;expires=60;EXPIRES=0",
        "<sip:ua@192.0.2.9;transport=udp;transport=tls>",
        "x" * 3000,
    ],
)
def test_what_two_parsers_could_read_differently_is_not_read(value: str) -> None:
    assert parse_contacts([value]) is None


def test_more_contacts_than_anybody_has_are_not_read() -> None:
    assert parse_contacts(["<sip:ua@192.0.2.9>"] * 129) is None


def test_hostile_text_costs_no_time() -> None:
    began = time.perf_counter()
    for value in (" " * 2000, "a" + " " * 2000, '"' * 2000, "<sip:a@b>" + " ;" * 900, "<sip:a@b>;" + "a" * 2000 + "\\"):
        parse_contacts([value])
    assert time.perf_counter() - began < 0.5


@pytest.mark.parametrize(
    ("call", "why"),
    [
        (contact(PEER_IP), f"it is peer source 2 by {PEER_IP}/32"),
        (contact("127.0.0.1", is_ours=True), "it is an address of this node"),
        (contact("phone.example"), "the host is no plain IP address"),
        (contact("2130706433"), "the host is no plain IP address"),
        (contact(f"::ffff:{PEER_IP}"), "the host is no plain IP address"),
        (contact("192.0.2.9", "sips"), "sips: is not served"),
        (contact("", "tel"), "tel: is not served"),
        (contact("127.0.0.1"), "it is the inside of this machine"),
        (contact("::1"), "it is the inside of this machine"),
        (contact("0.0.0.0"), "nobody has this address"),  # noqa: S104  not bound, refused
        (contact("224.0.1.75"), "nobody has this address"),
        (contact("255.255.255.255"), "nobody has this address"),
    ],
)
def test_a_contact_that_is_no_phone_is_refused(call: CallRequest, why: str) -> None:
    """A carrier would take the call for ours, we would talk to ourselves, and a name would make a worker wait."""
    refusal = World().refusal(call)
    assert (refusal.reason, refusal.status, refusal.call) == ("contact", 403, None)
    assert refusal.trace[-1].endswith(why)


@pytest.mark.parametrize("transport", ["tls", "ws", "sctp", "nonsense", "TLS"])
def test_a_contact_over_what_no_node_speaks_is_refused(transport: str) -> None:
    """No call could ever reach it. One behind a proxy is called by the proxy, which itself has to be reached."""
    (phone,) = parse_contacts([f"<sip:ua@192.0.2.9;transport={transport}>"]) or ()
    refusal = World().refusal(register()._replace(contacts=(phone,)))
    assert (refusal.reason, refusal.status) == ("contact", 403)
    assert refusal.trace[-1].endswith(f"transport {transport.lower()} is not served")
    near = register()._replace(supported="path", source_ip="192.0.2.1")
    proxy = Contact(SipUri("sip", "", "192.0.2.1", 5060))
    assert isinstance(World().decide(near._replace(contacts=(phone,), path=(proxy,))), Register)
    deaf = proxy._replace(transport=transport.lower())
    assert World().refusal(near._replace(contacts=(phone,), path=(deaf,))).reason == "contact"


@pytest.mark.parametrize(
    "uri", ["<sip:ua@192.0.2.9;transport=UDP>", "<sip:ua@192.0.2.9;Transport=tcp;ob>", "sip:ua@192.0.2.9"]
)
def test_what_a_node_speaks_is_no_matter_how_it_is_written(uri: str) -> None:
    (phone,) = parse_contacts([uri]) or ()
    assert isinstance(World().decide(register()._replace(contacts=(phone,))), Register)


def test_one_bad_contact_spoils_all() -> None:
    call = contact("192.0.2.9")
    both = call._replace(contacts=(*call.contacts, *contact(PEER_IP).contacts))
    assert World().refusal(both).reason == "contact"


def test_a_phone_may_be_anywhere_else() -> None:
    world = World()
    for call in (contact("192.0.2.9"), contact("10.0.0.4"), contact("2001:db8::77"), contact("198.51.100.9")):
        assert isinstance(world.decide(call), Register), call.contacts
    near = contact("127.0.0.1")._replace(source_ip="127.0.0.2")
    assert isinstance(world.decide(near._replace(credentials=credentials(near))), Register)


def test_a_stranger_does_not_learn_where_carriers_are() -> None:
    """Only a right password leads to the refusal."""
    world = World()
    for host in (PEER_IP, "192.0.2.9"):
        assert world.decide(contact(host)._replace(credentials=None)).trace[-1].endswith("no credentials")


def test_a_registration_costs_one_fetch() -> None:
    """Line, domain and the networks of its contact come together."""
    assert ColdStore(World()).decide(contact(PEER_IP), rounds_max=1)[1] == 1


def test_where_the_network_is_not_known_it_is_asked_for() -> None:
    world = World()
    name = keys.sources(f"{PEER_IP}/32")
    known = {key: record for key, record in world.records.items() if key != name}
    assert name in decide(contact(PEER_IP), world.facts(records=known)).keys  # type: ignore[union-attr]


def test_a_trusted_network_is_nobodys_carrier() -> None:
    world = World()
    name = keys.sources("198.51.100.0/24")
    before = world.records[name]
    assert isinstance(before, Sources)
    assert before.entries[0].kind == SourceKind.TRUSTED
    assert isinstance(world.decide(contact("198.51.100.9")), Register)


def test_only_a_right_response_asks_for_its_nonce_to_be_counted() -> None:
    """Else anybody could fill the table of uses."""
    world = World()
    right = register()
    assert decide(right, world.facts(nonce_uses=UNCOUNTED)) == Need((), nonce_uses=True)
    assert decide(right, world.facts(nonce_uses=UNCOUNTED, store_up=False)) == Need((), nonce_uses=True)
    assert right.credentials is not None
    wrong = right._replace(credentials=right.credentials._replace(response="0" * 32))
    for call in (wrong, register("nobody@a.example"), right._replace(credentials=None)):
        assert not isinstance(decide(call, world.facts(nonce_uses=UNCOUNTED)), Need)
