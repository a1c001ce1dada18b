"""Users and their devices over a real node, by real decisions: devices come and go while calls go on."""

from __future__ import annotations

from collections.abc import Iterator
from contextlib import ExitStack

import pytest

from kemi import keys
from kemi.records import Number, User
from tests.dialogs import confirm, drained
from tests.edge import Edge, running_edge
from tests.fakes.world import ALICE_NUMBER, BOB, BOB_NUMBER, CUSTOMER, TRUNK
from tests.forked import ELSEWHERE, answer, cancelled, heard_ringing, ringing
from tests.sip import Endpoint, dial, register, uri

EVA = keys.user(7)


@pytest.fixture(scope="module")
def edge() -> Iterator[Edge]:
    """Run one node, where Bob's number reaches a user with one device."""
    with running_edge({"TANDEM_SLICE_S": "2", "TANDEM_RING_MAX_S": "4", "TANDEM_GRACE_S": "2"}) as running:
        running.world.put(keys.number(BOB_NUMBER), Number(BOB_NUMBER, CUSTOMER, 0, "", EVA))
        told(running, keys.number(BOB_NUMBER))
        yield running


def told(edge: Edge, *names: str) -> None:
    """Let the node know of changed records, from the next call on."""
    edge.writer.write({name: edge.world.records[name] for name in names})
    edge.writer.finish()


def has(edge: Edge, *lines: str) -> None:
    """Let Eva have these devices."""
    edge.world.put(EVA, User(7, CUSTOMER, "eva", 0, lines))
    told(edge, EVA)


def phone(edge: Edge, stack: ExitStack, line: str, host: str) -> Endpoint:
    made = stack.enter_context(edge.phone(host))
    assert register(made, line).status == 200
    return made


def test_a_device_that_comes_while_a_call_goes_on_rings_with_the_next_one(edge: Edge) -> None:
    """And one that is taken away keeps the call that it has."""
    with ExitStack() as stack:
        caller, second = (stack.enter_context(edge.phone(host)) for host in ("127.0.0.2", "127.0.0.3"))
        old, new = phone(edge, stack, BOB, "127.0.0.21"), phone(edge, stack, TRUNK, "127.0.0.22")
        has(edge, BOB)
        call = dial(caller, f"{BOB_NUMBER}@a.example")
        (invite,) = ringing(old)
        has(edge, BOB, TRUNK)
        assert new.silent()
        talking = answer(old, invite, call)

        other = dial(second, f"{BOB_NUMBER}@a.example")
        invites = ringing(old, new)
        heard_ringing(second, 2)
        beside = answer(new, invites[1], other)
        assert cancelled(old, invites[0]) == ELSEWHERE
        has(edge, TRUNK)

        for side, final, called in ((caller, talking, old), (second, beside, new)):
            side.send(side.within("BYE", final, cseq=9))
            confirm(called)
            assert side.final().status == 200
        edge.wait_idle()
        for end in (caller, second, old, new):
            drained(end, 0.05)

    assert uri(invites[1].get("From")) == f"sip:+{ALICE_NUMBER}@a.example"
    places = [edge.event(final.get("Call-ID")).end.place for final in (talking, beside)]
    assert places == [0, 1]
    assert edge.node.counter("exceptions") == 0, edge.node.alarms
