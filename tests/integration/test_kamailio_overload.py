"""A node that has too much to do (`overloaded.py`): what it sheds, what it does not, and when it is over."""

from __future__ import annotations

from collections.abc import Iterator

import pytest

from tests.dialogs import CALLER, ODD_CONTACT, confirm, talking
from tests.edge import Edge, running_edge
from tests.fakes.world import ABROAD
from tests.overloaded import admitted, standing_still
from tests.sip import Endpoint, Message, register
from tests.wait import until

LONG_S = 60.0
FEW = 20  # of 100 new calls
HELP = "112"


@pytest.fixture(scope="module")
def edge() -> Iterator[Edge]:
    """Run one node for all tests of this file, as a machine that other tests use bears it."""
    with running_edge({"TANDEM_SHED_DELAY_MS": "150"}) as running:
        yield running


@pytest.fixture
def overloaded(edge: Edge) -> Iterator[Edge]:
    """Let the node stand still for as long as it takes to shed nearly all; nothing may be left after the test."""
    before = len(edge.node.alarms)
    with standing_still(edge):
        until(lambda: admitted(edge) <= FEW, LONG_S, "the node to shed nearly all")
    yield edge
    until(lambda: admitted(edge) == 100, LONG_S, "the end of the overload")
    edge.wait_idle()
    assert edge.node.counter("exceptions") == 0, edge.node.alarms
    assert [line for line in edge.node.alarms[before:] if not ODD_CONTACT.search(line)] == []


def answers(phone: Endpoint, method: str, ruri: str, *, count: int = 5) -> list[Message]:
    """Return the first final answers to so many new requests."""
    found = []
    for _ in range(count):
        phone.send(request := phone.request(method, ruri, callee="sip:carol@a.example"))
        found.append(phone.final())
        if method == "INVITE":
            phone.ack(request, found[-1])
    return found


def test_new_calls_are_shed_while_help_is_not(overloaded: Edge) -> None:
    """All in one burst that waited: what is new gets 503 and when to come again, what calls for help a challenge."""
    with overloaded.phone(CALLER) as phone:
        shed = [m for m in answers(phone, "INVITE", f"sip:{ABROAD}@a.example", count=10) if m.status == 503]
        assert shed
        assert {(each.get("Retry-After"), each.start) for each in shed} == {("5", "SIP/2.0 503 Overloaded")}
        assert [m.status for m in answers(phone, "INVITE", f"sip:{HELP}@a.example")] == [407] * 5
    assert overloaded.node.counter("shed") >= len(shed)
    assert "new calls let in" in overloaded.node.log


def test_a_call_that_goes_on_is_ended_all_the_same(edge: Edge) -> None:
    until(lambda: admitted(edge) == 100, LONG_S, "the node to take calls")  # a busy machine may have stood still
    with edge.phone(CALLER) as phone:
        _, final = talking(edge, phone)
        with standing_still(edge):
            until(lambda: admitted(edge) <= FEW, LONG_S, "the node to shed nearly all")
        phone.send(phone.within("BYE", final, cseq=50))
        confirm(edge.acme)
        assert phone.final().status == 200
        assert edge.event(final.get("Call-ID")).end.ended_by == "caller"
    until(lambda: admitted(edge) == 100, LONG_S, "the end of the overload")
    edge.wait_idle()


def test_a_registered_phone_may_stay_so_while_another_one_waits(edge: Edge) -> None:
    """Without credentials, as it asks first each time; else it could not be called for as long as this lasts."""
    until(lambda: admitted(edge) == 100, LONG_S, "the node to take registrations")
    with edge.phone("127.0.0.3") as bob, edge.phone("127.0.0.4") as dave:
        assert register(bob, "bob@a.example").status == 200
        with standing_still(edge):
            until(lambda: admitted(edge) <= FEW, LONG_S, "the node to shed nearly all")
        unknown = [_registering(dave, "dave") for _ in range(10)]
        known = [_registering(bob, "bob") for _ in range(5)]
        assert (known, 503 in unknown) == ([401] * 5, True)
    until(lambda: admitted(edge) == 100, LONG_S, "the end of the overload")


def _registering(phone: Endpoint, user: str) -> int:
    who = f"sip:{user}@a.example"
    phone.send(phone.request("REGISTER", "sip:a.example", caller=who, callee=who))
    return phone.final().status


def test_it_is_over_when_nothing_waits_any_more(overloaded: Edge) -> None:
    until(lambda: admitted(overloaded) == 100, LONG_S, "the end of the overload")
    with overloaded.phone(CALLER) as phone:
        assert [m.status for m in answers(phone, "INVITE", f"sip:{ABROAD}@a.example")] == [407] * 5
    until(lambda: overloaded.node.noc("status")["agent"]["admitted_percent"] == 100, LONG_S, "the NOC to be told")
    assert overloaded.node.noc("status")["agent"]["sip_wait_ms"] >= 0
