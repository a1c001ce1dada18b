"""A relay of sound that stands still, or is not there: who is refused, who goes without it, and that nobody waits."""

from __future__ import annotations

import time
from collections.abc import Iterator
from contextlib import contextmanager

import pytest

from kemi import keys
from kemi.records import Number, User
from tests.dialogs import CALLER, SHORT
from tests.edge import ACME_HOST, SOON_S, Edge, running_edge
from tests.fakes.world import ABROAD, BOB, BOB_NUMBER, CUSTOMER, TRUNK
from tests.rtp import Voice
from tests.rtpengine import Rtpengine, running_rtpengine
from tests.sip import Call, dial, parse, register
from tests.sound import ask_for_relay, end_by_caller, let_talk, verdict
from tests.wait import until

PHONES = ("127.0.0.21", "127.0.0.22")


@pytest.fixture(scope="module")
def mortal() -> Iterator[tuple[Edge, Rtpengine]]:
    """Run a node and a relay that may stand still: it forgets what was said meanwhile after a minute only."""
    with running_rtpengine() as relay, running_edge(SHORT, relay=relay.url) as running:
        ask_for_relay(running)
        yield running, relay


@pytest.fixture
def voices() -> Iterator[tuple[Voice, Voice]]:
    """Give the sound of a caller and of a called side."""
    with Voice(CALLER, 0x0A11CE) as caller, Voice(ACME_HOST, 0x0B0B) as called:
        yield caller, called


def test_a_call_that_needs_a_dead_relay_is_refused_and_never_hangs(
    mortal: tuple[Edge, Rtpengine], voices: tuple[Voice, Voice]
) -> None:
    edge, relay = mortal
    caller, called = voices
    with edge.phone(CALLER) as alice:
        _, talking = let_talk(edge, alice, caller, called)
        with _standing_still(relay):
            began = time.monotonic()
            again = Call(alice, alice.within("INVITE", talking, cseq=3, body=caller.sdp))
            alice.send(again.invite)
            assert verdict(again).status == 503
            for _ in range(3):
                call = dial(alice, f"{ABROAD}@a.example", body=caller.sdp)
                assert verdict(call).start == "SIP/2.0 503 Media Relay Unavailable"
                end = edge.event(parse(call.invite.encode()).get("Call-ID")).end
                assert (end.status, end.reason) == (503, "media_down")
            assert time.monotonic() - began < SOON_S
            assert edge.acme.silent()
        end_by_caller(edge, alice, talking)
    until(lambda: _is_taken(edge, caller), 2 * SOON_S, "the relay to be asked again")
    assert edge.node.counter("exceptions") == 0, edge.node.alarms


def test_phones_that_would_ring_together_are_told_by_what_is_missing(
    mortal: tuple[Edge, Rtpengine], voices: tuple[Voice, Voice]
) -> None:
    """Not as if they were unreachable: they are there."""
    edge, relay = mortal
    eva = keys.user(7)
    edge.world.put(eva, User(7, CUSTOMER, "eva", 0, (BOB, TRUNK)))
    edge.world.put(keys.number(BOB_NUMBER), Number(BOB_NUMBER, CUSTOMER, 0, "", eva))
    edge.writer.write({name: edge.world.records[name] for name in (eva, keys.number(BOB_NUMBER))})
    edge.writer.finish()
    with edge.phone(CALLER) as alice, edge.phone(PHONES[0]) as one, edge.phone(PHONES[1]) as other:
        assert [register(phone, line).status for phone, line in ((one, BOB), (other, TRUNK))] == [200, 200]
        with _standing_still(relay):
            call = dial(alice, f"{BOB_NUMBER}@a.example", body=voices[0].sdp)
            assert verdict(call).start == "SIP/2.0 503 Media Relay Unavailable"
            end = edge.event(parse(call.invite.encode()).get("Call-ID")).end
            assert (end.status, end.reason) == (503, "media_down")
            assert one.silent()
            assert other.silent()
    until(lambda: _is_taken(edge, voices[0]), 2 * SOON_S, "the relay to be asked again")
    assert edge.node.counter("exceptions") == 0, edge.node.alarms


def test_an_emergency_call_goes_without_a_dead_relay(
    mortal: tuple[Edge, Rtpengine], voices: tuple[Voice, Voice]
) -> None:
    edge, relay = mortal
    caller, called = voices
    with edge.phone(CALLER) as alice, _standing_still(relay):
        call = dial(alice, "112@a.example", body=caller.sdp)
        invite = edge.acme.wait_request("INVITE")
        assert invite.body == caller.sdp
        edge.acme.send(edge.acme.reply(invite, 200, "OK", body=called.sdp))
        final = verdict(call)
        edge.acme.wait_request("ACK")
        end_by_caller(edge, alice, final)
    until(lambda: _is_taken(edge, caller), 2 * SOON_S, "the relay to be asked again")


def test_a_node_without_the_switch_touches_no_description_and_refuses_who_asks(voices: tuple[Voice, Voice]) -> None:
    caller, called = voices
    with running_edge(SHORT) as edge, edge.phone(CALLER) as alice:
        invite, final = let_talk(edge, alice, caller, called)
        assert (invite.body, final.body) == (caller.sdp, called.sdp)
        end_by_caller(edge, alice, final)
        ask_for_relay(edge)
        call = dial(alice, f"{ABROAD}@a.example", body=caller.sdp)
        assert call.final().status == 503
        assert edge.event(parse(call.invite.encode()).get("Call-ID")).end.reason == "media_down"
        assert edge.node.counter("media_lost") == 1
        edge.wait_idle()
        assert edge.node.counter("exceptions") == 0, edge.node.alarms


@contextmanager
def _standing_still(relay: Rtpengine) -> Iterator[None]:
    relay.stand_still()
    try:
        yield
    finally:
        relay.go_on()


def _is_taken(edge: Edge, caller: Voice) -> bool:
    """Tell whether a call is relayed again; it is refused by the carrier."""
    with edge.phone(CALLER) as phone:
        call = dial(phone, f"{ABROAD}@a.example", body=caller.sdp)
        try:
            invite = edge.acme.wait_request("INVITE", 1.0)
        except TimeoutError:
            assert verdict(call).status == 503
            return False
        edge.acme.send(edge.acme.reply(invite, 486, "Busy Here"))
        return verdict(call).status == 486
