"""Calls over IPv6 and over TCP, and from one to the other: through a real Kamailio that listens on all of them."""

from __future__ import annotations

from collections.abc import Iterator
from contextlib import ExitStack

import pytest

from kemi import keys
from kemi.records import Masks, Source, SourceKind, Sources
from tests.dialogs import confirm, drained
from tests.edge import SOON_S, Edge, running_edge, tried
from tests.fakes.world import ABROAD, ACME, ACME_1, BOB_NUMBER
from tests.sip import SDP, Call, Endpoint, Message, dial, register
from tests.tcp import TcpEndpoint
from tests.wait import until

HOSTS = {"4": "127.0.0.21", "6": "::1"}
KINDS = {"udp": Endpoint, "tcp": TcpEndpoint}
WAYS = ("udp4", "udp6", "tcp4", "tcp6")
BETWEEN = [("udp4", "udp6"), ("udp6", "udp4"), ("udp4", "tcp4"), ("tcp4", "udp4"), ("tcp6", "tcp6"), ("tcp6", "udp4")]


@pytest.fixture(scope="module")
def edge() -> Iterator[Edge]:
    """Run one node."""
    with running_edge({"TANDEM_SLICE_S": "2", "TANDEM_RING_MAX_S": "3", "TANDEM_GRACE_S": "2"}) as running:
        for group_id in (ACME,):
            name = keys.peering_group(group_id)
            running.world.change(name, may_return=True)  # both sides of a test are at one address of IPv6
        yield running


@pytest.fixture
def ends(edge: Edge) -> Iterator[ExitStack]:
    """Close a test's endpoints; nothing may be held any more, and Python may not have failed."""
    with ExitStack() as stack:
        yield stack
        edge.wait_idle()
    assert edge.node.counter("exceptions") == 0, edge.node.alarms


def endpoint(edge: Edge, ends: ExitStack, way: str, host: str = "") -> Endpoint:
    """Return an endpoint that speaks to the node this way."""
    server = ("::1" if way[-1] == "6" else "127.0.0.1", edge.node.address[1])
    return ends.enter_context(KINDS[way[:3]](server, host or HOSTS[way[-1]]))


def carrier(edge: Edge, ends: ExitStack, way: str) -> Endpoint:
    """Return a carrier's server that is reached this way."""
    found = endpoint(edge, ends, way, "127.0.0.22" if way[-1] == "4" else "")
    edge.change(ACME_1, address=found.host, port=found.port, transport=way[:3], enabled=True)
    return found


def connect(phone: Endpoint, other: Endpoint) -> tuple[Call, Message, Message]:
    """Call; return the call, the INVITE at the carrier, and the 200 at the caller."""
    call = dial(phone, f"{ABROAD}@a.example")
    invite = other.wait_request("INVITE")
    other.send(other.reply(invite, 180, "Ringing"))
    other.send(other.reply(invite, 200, "OK", body=SDP))
    final = call.final()
    assert final.status == 200
    assert other.wait_request("ACK").ruri == other.contact
    return call, invite, final


def hang_up(phone: Endpoint, final: Message, other: Endpoint) -> None:
    phone.send(phone.within("BYE", final, cseq=9))
    confirm(other)
    assert phone.final().status == 200


@pytest.mark.parametrize(("way", "other_way"), BETWEEN)
def test_a_call_passes_and_the_caller_ends_it(edge: Edge, ends: ExitStack, way: str, other_way: str) -> None:
    phone, other = endpoint(edge, ends, way), carrier(edge, ends, other_way)

    _, invite, final = connect(phone, other)
    phone.send(phone.within("INFO", final, cseq=5))
    info = other.wait_request("INFO")
    other.send(other.reply(info, 200, "OK"))
    assert phone.final().method == "INFO"
    hang_up(phone, final, other)

    end = edge.event(final.get("Call-ID")).end
    assert (end.outcome, end.ended_by) == ("answered", "caller")
    assert invite.get("Via").startswith(f"SIP/2.0/{other.transport} ")
    assert len(invite.all("Record-Route")[0].split("tdm=")) == (1 if way == other_way else 2) + (way == other_way)
    assert not drained(other, 0.1), "the node needs no BYE of its own"
    assert not drained(phone, 0.1)


@pytest.mark.parametrize(("way", "other_way"), BETWEEN)
def test_the_carrier_ends_a_call(edge: Edge, ends: ExitStack, way: str, other_way: str) -> None:
    phone, other = endpoint(edge, ends, way), carrier(edge, ends, other_way)
    _, invite, final = connect(phone, other)

    other.send(other.back("BYE", invite, cseq=3))
    confirm(phone)

    assert other.final().status == 200
    assert edge.event(final.get("Call-ID")).end.ended_by == "callee"


@pytest.mark.parametrize(("way", "other_way"), BETWEEN)
def test_the_node_ends_a_call_on_both_sides(edge: Edge, ends: ExitStack, way: str, other_way: str) -> None:
    phone, other = endpoint(edge, ends, way), carrier(edge, ends, other_way)
    _, _, final = connect(phone, other)
    until(lambda: edge.node.noc("calls")["count"] == 1, SOON_S, "the agent to know the call")
    (row,) = edge.node.noc("calls")["calls"]

    until(lambda: "ending" in edge.node.noc(f"end {row['rid']}"), SOON_S, "the agent to know the answer")
    to_called, to_caller = confirm(other), confirm(phone)

    assert (to_called.ruri, to_caller.ruri) == (other.contact, phone.contact)
    assert edge.event(final.get("Call-ID")).end.ended_by == "noc"


@pytest.mark.parametrize("way", WAYS)
def test_a_registered_phone_is_reached(edge: Edge, ends: ExitStack, way: str) -> None:
    phone, bob = endpoint(edge, ends, "udp4"), endpoint(edge, ends, way)
    assert register(bob, "bob@a.example").status == 200
    call = dial(phone, f"{BOB_NUMBER}@a.example")
    invite = bob.wait_request("INVITE")
    bob.send(bob.reply(invite, 200, "OK", body=SDP))
    final = call.final()
    bob.wait_request("ACK")

    hang_up(phone, final, bob)

    assert register(bob, "bob@a.example", expires_s=0).status == 200


def test_a_peer_of_ipv6_is_known_by_its_address(edge: Edge, ends: ExitStack) -> None:
    """Its source is written in the short form, Kamailio tells it in the long one."""
    source = Source(99, SourceKind.PEER, "::1/128", group_id=ACME, server_id=ACME_1)
    edge.writer.write({keys.MASKS: Masks((32, 24), (128,)), keys.sources("::1/128"): Sources((source,))})
    edge.writer.finish()
    bob, peer = endpoint(edge, ends, "udp4"), endpoint(edge, ends, "udp6")
    assert register(bob, "bob@a.example").status == 200
    invite = peer.request("INVITE", f"sip:{BOB_NUMBER}@tandem.example", caller="sip:+33199@c.example", body=SDP)
    peer.send(invite)
    got = bob.wait_request("INVITE")
    bob.send(bob.reply(got, 200, "OK", body=SDP))
    final = Call(peer, invite).final()
    bob.wait_request("ACK")

    hang_up(peer, final, bob)

    assert edge.event(final.get("Call-ID")).call.source == "peer:acme"
    assert register(bob, "bob@a.example", expires_s=0).status == 200
    edge.writer.write({keys.MASKS: Masks((32, 24), ()), keys.sources("::1/128"): None})
    edge.writer.finish()


def test_a_tcp_server_that_takes_no_connection_is_left_for_the_next(edge: Edge, ends: ExitStack) -> None:
    phone, dead = endpoint(edge, ends, "udp4"), carrier(edge, ends, "tcp4")
    dead.__exit__()
    call = dial(phone, f"{ABROAD}@a.example")

    invite = edge.bell.wait_request("INVITE")
    edge.bell.send(edge.bell.reply(invite, 486, "Busy Here"))

    assert call.final().status == 486
    first, second = tried(edge.event(invite.get("Call-ID")).end)
    assert (first[0], second) == (ACME_1, (41, 486, ""))
