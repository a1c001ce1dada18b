"""What DNS says of a server's name, asked at a real DNS server over UDP."""

from __future__ import annotations

from collections.abc import Iterator
from typing import Any

import dns.resolver
import pytest

from tests.dns_responder import Responder, responder
from tools.errors import OperatorError
from tools.resolve import lookup
from tools.resolve.lookup import Found, look_up, resolver_from

BOTH = frozenset({4, 6})


@pytest.fixture
def server() -> Iterator[Responder]:
    with responder() as made:
        yield made


def asked(server: Responder, host: str, port: int = 5060, transport: str = "udp") -> Found:
    resolver = resolver_from({"TANDEM_RESOLVER": server.place})
    assert resolver is not None
    return look_up(resolver, host, port, transport)


def texts(found: Found) -> list[str]:
    return [str(address) for address in found.addresses]


def test_a_name_has_addresses_of_both_families(server: Responder) -> None:
    """IPv4 first, then IPv6, rising; the shorter TTL holds."""
    server.has("sip.acme.example", "A", "198.51.100.9", "198.51.100.10", ttl_s=300)
    server.has("sip.acme.example", "AAAA", "2001:db8::1", ttl_s=40)
    found = asked(server, "sip.acme.example")
    assert texts(found) == ["198.51.100.9", "198.51.100.10", "2001:db8::1"]
    assert found[1:] == (BOTH, 40, "")


@pytest.mark.parametrize(("ttl_s", "held_s"), [(0, 5), (4, 5), (77, 77), (86_400, 3_600)])
def test_a_ttl_holds_within_bounds(server: Responder, ttl_s: int, held_s: int) -> None:
    """A TTL of nothing would make us ask for ever; one of a day would keep a dead address for a day."""
    server.has("sip.acme.example", "A", "198.51.100.9", ttl_s=ttl_s)
    assert asked(server, "sip.acme.example").ttl_s == held_s


def test_an_alias_is_followed_and_its_ttl_counts(server: Responder) -> None:
    server.has("sip.acme.example", "CNAME", "edge.acme.example", ttl_s=30)
    server.has("edge.acme.example", "A", "198.51.100.9", ttl_s=600)
    found = asked(server, "sip.acme.example")
    assert (texts(found), found.ttl_s) == (["198.51.100.9"], 30)


def test_at_most_16_addresses_are_kept(server: Responder) -> None:
    server.has("sip.acme.example", "A", *(f"198.51.100.{n}" for n in range(1, 31)))
    assert texts(asked(server, "sip.acme.example")) == [f"198.51.100.{n}" for n in range(1, 17)]


def test_a_name_that_does_not_exist_is_certain_to_have_nothing(server: Responder) -> None:
    found = asked(server, "gone.acme.example")
    assert found[:2] == ((), BOTH)
    assert found.fault == "gone.acme.example does not exist"


def test_a_name_without_addresses_says_so(server: Responder) -> None:
    server.has("acme.example", "TXT", "hello")
    assert asked(server, "acme.example").fault == "acme.example has no address"


def test_a_silent_dns_says_nothing_of_any_family(server: Responder, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(lookup, "TRY_S", 0.05)
    monkeypatch.setattr(lookup, "LIFETIME_S", 0.1)
    server.is_silent = True
    found = asked(server, "sip.acme.example")
    assert found[:2] == ((), frozenset())
    assert found.fault == "DNS does not answer for sip.acme.example"


def test_a_failing_dns_is_quoted(server: Responder) -> None:
    server.failing.add("sip.acme.example")
    found = asked(server, "sip.acme.example")
    assert (found.families, found.fault) == (frozenset(), "DNS cannot say what sip.acme.example is: SERVFAIL")


def test_a_name_that_cannot_be_one_raises_nothing(server: Responder) -> None:
    assert "cannot be looked up" in asked(server, f"{'a' * 64}.example").fault
    assert "cannot be looked up" in asked(server, "a..example").fault


def test_a_name_without_addresses_is_asked_for_its_service(server: Responder) -> None:
    """Of the best priority, the targets with the server's port; what else there is are other servers."""
    server.has("acme.example", "TXT", "hello")
    server.has(
        "_sip._udp.acme.example", "SRV", "10 5 5060 b.acme.example.", "10 5 5080 c.acme.example.",
        "10 1 5060 a.acme.example.", "20 1 5060 d.acme.example.", ttl_s=90,
    )  # fmt: skip
    for n, name in enumerate("abcd", 1):
        server.has(f"{name}.acme.example", "A", f"198.51.100.{n}")
    found = asked(server, "acme.example")
    assert (texts(found), found.ttl_s, found.fault) == (["198.51.100.1", "198.51.100.2"], 60, "")
    assert texts(asked(server, "acme.example", port=5080)) == ["198.51.100.3"]
    assert asked(server, "acme.example", transport="tls").fault == "acme.example has no address"


def test_a_name_with_addresses_is_asked_for_no_service(server: Responder) -> None:
    """A server is written with its port: RFC 3263 then asks for no SRV."""
    server.has("acme.example", "A", "198.51.100.9")
    server.has("_sip._udp.acme.example", "SRV", "1 1 5060 b.acme.example.")
    assert texts(asked(server, "acme.example")) == ["198.51.100.9"]
    assert "_sip._udp.acme.example" not in server.asked


def test_a_name_written_for_a_service_is_asked_for_that_alone(server: Responder) -> None:
    server.has("_sips._tcp.acme.example", "SRV", "1 1 5061 b.acme.example.")
    server.has("b.acme.example", "AAAA", "2001:db8::2")
    assert texts(asked(server, "_sips._tcp.acme.example", 5061, "tls")) == ["2001:db8::2"]
    assert asked(server, "_sips._tcp.acme.example", 5071, "tls").fault == (
        "_sips._tcp.acme.example names no target with port 5071"
    )
    assert asked(server, "_sip._udp.acme.example").fault == "_sip._udp.acme.example does not exist"


@pytest.mark.parametrize(
    ("text", "places"),
    [
        ("127.0.0.1:5353", [("127.0.0.1", 5353)]),
        ("192.0.2.1", [("192.0.2.1", 53)]),
        ("[::1]:5353, 192.0.2.1", [("::1", 5353), ("192.0.2.1", 53)]),
    ],
)
def test_the_resolver_is_settable(text: str, places: list[tuple[str, int]]) -> None:
    made: Any = resolver_from({"TANDEM_RESOLVER": text})
    assert [(each.address, each.port) for each in made.nameservers] == places
    assert resolver_from({}) is None


@pytest.mark.parametrize("text", ["dns.example", "127.0.0.1:0", "127.0.0.1:99999", "::1", "127.0.0.300", ",", "[]"])
def test_a_resolver_that_is_none_is_refused(text: str) -> None:
    with pytest.raises(OperatorError, match="TANDEM_RESOLVER"):
        resolver_from({"TANDEM_RESOLVER": text})


def test_the_machines_own_servers_are_asked_with_bounds() -> None:
    try:
        made = lookup.machines_resolver()
    except dns.resolver.NoResolverConfiguration:
        return
    assert (made.timeout, made.lifetime) == (lookup.TRY_S, lookup.LIFETIME_S)
