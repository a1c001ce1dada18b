"""Sound through the relay, with real RTP: an rtpengine, a Kamailio, and packets counted on both ends of each call."""

from __future__ import annotations

import socket
from collections.abc import Iterator
from contextlib import contextmanager
from typing import Final

import pytest

from tests.dialogs import CALLER, SHORT, confirm
from tests.edge import ACME_HOST, BELL_HOST, SOON_S, Edge, running_edge
from tests.fakes.world import ABROAD, BOB, BOB_NUMBER, CAROL
from tests.rtp import Side, Voice, Way, exchange, way_of
from tests.rtpengine import PORTS, Rtpengine, running_rtpengine
from tests.sip import Endpoint, Message, dial, register
from tests.sound import ask_for_relay, end_by_caller, let_talk, verdict
from tests.wait import until

PACKETS: Final = 25
PHONES: Final = ("127.0.0.21", "127.0.0.22")
ICE: Final = "a=ice-ufrag:abcd\r\na=ice-pwd:abcdabcdabcdabcdabcdabcd\r\n"
NETWORKS: Final = (CALLER, "10.9.9.9", "2001:db8::9")


@pytest.fixture(scope="module")
def relay() -> Iterator[Rtpengine]:
    """Run a relay."""
    with running_rtpengine() as running:
        yield running


@pytest.fixture(scope="module")
def relaying(relay: Rtpengine) -> Iterator[Edge]:
    """Run a node with the relay. Alice's and Bob's account wants it, Carol's does not."""
    with running_edge(SHORT, relay=relay.url) as running:
        ask_for_relay(running)
        yield running


@pytest.fixture
def edge(relaying: Edge, relay: Rtpengine) -> Iterator[Edge]:
    """Give the node; afterwards nothing is held or relayed any more, and Python has not failed."""
    yield relaying
    relaying.wait_idle()
    until(lambda: relay.calls() == [], SOON_S, "all calls of the relay to be gone")
    assert relaying.node.kamcmd("htable.dump", "media").strip() == ""
    assert relaying.node.counter("exceptions") == 0, relaying.node.alarms


@pytest.fixture
def voices() -> Iterator[tuple[Voice, Voice]]:
    """Give the sound of a caller and of a called side."""
    with Voice(CALLER, 0x0A11CE) as caller, Voice(ACME_HOST, 0x0B0B) as called:
        yield caller, called


def test_sound_goes_through_the_relay_in_both_directions(edge: Edge, voices: tuple[Voice, Voice]) -> None:
    caller, called = voices
    with edge.phone(CALLER) as alice:
        before = edge.node.counter("relayed")
        invite, final = let_talk(edge, alice, caller, called)
        assert _is_relayed(invite.body, caller)
        assert _is_relayed(final.body, called)
        exchange(Side(caller, way_of(final.body)), Side(called, way_of(invite.body)), PACKETS)
        assert edge.node.counter("relayed") == before + 1
        end_by_caller(edge, alice, final)


def test_a_new_offer_inside_the_call_stays_with_the_relay(edge: Edge, voices: tuple[Voice, Voice]) -> None:
    caller, called = voices
    with edge.phone(CALLER) as alice, Voice(CALLER, 0x0A11CF) as moved:
        invite, final = let_talk(edge, alice, caller, called)
        alice.send(alice.within("INVITE", final, cseq=3, body=moved.sdp))
        again = edge.acme.wait_request("INVITE")
        edge.acme.send(edge.acme.reply(again, 200, "OK", body=called.sdp))
        answer = alice.final()
        alice.send(alice.within("ACK", final, cseq=3))
        edge.acme.wait_request("ACK")
        exchange(Side(moved, way_of(answer.body)), Side(called, way_of(again.body)), PACKETS)

        edge.acme.send(edge.acme.back("UPDATE", invite, cseq=1, body=called.sdp))
        update = alice.wait_request("UPDATE")
        alice.send(alice.reply(update, 200, "OK", body=moved.sdp))
        updated = edge.acme.final()
        exchange(Side(moved, way_of(update.body)), Side(called, way_of(updated.body)), PACKETS)
        end_by_caller(edge, alice, final)


def test_an_offer_in_the_answer_and_an_answer_in_the_ack_are_relayed(edge: Edge, voices: tuple[Voice, Voice]) -> None:
    caller, called = voices
    with edge.phone(CALLER) as alice:
        call = dial(alice, f"{ABROAD}@a.example", body="")
        invite = edge.acme.wait_request("INVITE")
        edge.acme.send(edge.acme.reply(invite, 200, "OK", body=called.sdp))
        final = alice.final()
        alice.ack(call.invite, final, caller.sdp)
        ack = edge.acme.wait_request("ACK")
        exchange(Side(caller, way_of(final.body)), Side(called, way_of(ack.body)), PACKETS)
        end_by_caller(edge, alice, final)


def test_whoever_rings_with_sound_is_heard_and_the_next_carrier_too(
    edge: Edge, relay: Rtpengine, voices: tuple[Voice, Voice]
) -> None:
    caller, called = voices
    with edge.phone(CALLER) as alice, Voice(BELL_HOST, 0x0BE11) as second:
        call = dial(alice, f"{ABROAD}@a.example", body=caller.sdp)
        invite = edge.acme.wait_request("INVITE")
        edge.acme.send(edge.acme.reply(invite, 183, "Session Progress", body=called.sdp))
        early = _provisional(alice, 183)
        exchange(Side(caller, way_of(early.body)), Side(called, way_of(invite.body)), PACKETS)
        edge.acme.send(edge.acme.reply(invite, 503, "No"))
        edge.acme.wait_request("ACK")

        invite = edge.bell.wait_request("INVITE")
        edge.bell.send(edge.bell.reply(invite, 200, "OK", body=second.sdp))
        final = call.final()
        edge.bell.wait_request("ACK")
        exchange(Side(caller, way_of(final.body)), Side(second, way_of(invite.body)), PACKETS)
        assert len(relay.calls()) == 1
        alice.send(alice.within("BYE", final, cseq=9))
        confirm(edge.bell)
        assert alice.final().status == 200


def test_of_two_phones_that_ring_with_sound_the_one_that_answers_is_heard(
    edge: Edge, voices: tuple[Voice, Voice]
) -> None:
    caller, _ = voices
    with (
        edge.phone(CALLER) as carol,
        edge.phone(PHONES[0]) as one,
        edge.phone(PHONES[1]) as other,
        Voice(PHONES[0], 0x0B0B1) as one_voice,
        Voice(PHONES[1], 0x0B0B2) as other_voice,
    ):
        assert [register(phone, BOB).status for phone in (one, other)] == [200, 200]
        call = dial(carol, f"{BOB_NUMBER}@b.example", caller=CAROL, body=caller.sdp)
        invites = [phone.wait_request("INVITE") for phone in (one, other)]
        ways = {way_of(invite.body) for invite in invites}
        assert len(ways) == 2  # each has ports of its own
        for phone, invite, voice in zip((other, one), invites[::-1], (other_voice, one_voice), strict=True):
            phone.send(phone.reply(invite, 183, "Session Progress", body=voice.sdp))
            _provisional(carol, 183)
        other.send(other.reply(invites[1], 200, "OK", body=other_voice.sdp))
        final = call.final()
        cancel = one.wait_request("CANCEL")
        one.send(one.reply(cancel, 200, "OK"))
        one.send(one.reply(invites[0], 487, "Request Terminated"))
        other.wait_request("ACK")
        exchange(Side(caller, way_of(final.body)), Side(other_voice, way_of(invites[1].body)), PACKETS)
        other.send(other.back("BYE", invites[1], cseq=1))
        bye = carol.wait_request("BYE")
        carol.send(carol.reply(bye, 200, "OK"))
        assert other.final().status == 200
        edge.node.kamcmd("ul.rm", "location", f"s:{BOB}")


def test_the_relay_forgets_a_call_that_is_refused_cancelled_or_ended_by_us(
    edge: Edge, relay: Rtpengine, voices: tuple[Voice, Voice]
) -> None:
    caller, called = voices
    with edge.phone(CALLER) as alice:
        call = dial(alice, f"{ABROAD}@a.example", body=caller.sdp)
        invite = edge.acme.wait_request("INVITE")
        edge.acme.send(edge.acme.reply(invite, 486, "Busy Here"))
        assert call.final().status == 486
        until(lambda: relay.calls() == [], SOON_S, "the refused call to be gone")

        call = dial(alice, f"{ABROAD}@a.example", body=caller.sdp)
        invite = edge.acme.wait_request("INVITE")
        edge.acme.send(edge.acme.reply(invite, 180, "Ringing"))
        _provisional(alice, 180)
        call.cancel()
        cancel = edge.acme.wait_request("CANCEL")
        edge.acme.send(edge.acme.reply(cancel, 200, "OK"))
        edge.acme.send(edge.acme.reply(invite, 487, "Request Terminated"))
        assert (alice.final().status, call.final().status) == (200, 487)
        until(lambda: relay.calls() == [], SOON_S, "the cancelled call to be gone")

        let_talk(edge, alice, caller, called)
        (rid,) = relay.calls()
        until(lambda: "ending" in edge.node.noc(f"end {rid}"), SOON_S, "the agent to know the answer")
        for side in (edge.acme, alice):
            confirm(side)


@pytest.mark.parametrize("ice", ["", ICE])
def test_a_phone_cannot_have_sound_sent_to_a_carrier(edge: Edge, voices: tuple[Voice, Voice], ice: str) -> None:
    """What the caller says reaches the phone's own address, or nobody: it may be an INVITE to the carrier."""
    caller, _ = voices
    evil = f"INVITE sip:{ABROAD}@{edge.acme.at} SIP/2.0\r\nCall-ID: evil\r\n\r\n".encode()
    with edge.phone(CALLER) as alice, edge.phone(PHONES[0]) as bob:
        assert register(bob, BOB).status == 200
        call = dial(alice, f"{BOB_NUMBER}@a.example", body=caller.sdp)
        invite = bob.wait_request("INVITE")
        bob.send(bob.reply(invite, 200, "OK", body=_naming(edge.acme.host, edge.acme.port) + ice))
        final = verdict(call)
        bob.wait_request("ACK")
        with _at(PHONES[0], edge.acme.port) as own:
            told = (way_of(final.body), way_of(invite.body))
            ways = [way for way in told if way.port in PORTS and way.host != edge.acme.host]
            assert len(ways) == (1 if ice else 2)  # the relay took no answer with ICE
            for way in ways:
                caller.throw(evil, way)
            if not ice:
                assert own.recv(2048) == evil
        assert edge.acme.silent()
        alice.send(alice.within("BYE", final, cseq=9))
        confirm(bob)
        assert alice.final().status == 200
        edge.node.kamcmd("ul.rm", "location", f"s:{BOB}")


def test_a_phone_that_answers_from_elsewhere_is_not_believed(edge: Edge, voices: tuple[Voice, Voice]) -> None:
    """The source of its answer may be a carrier's address, forged: nobody's sound goes there."""
    caller, _ = voices
    with (
        edge.phone(CALLER) as alice,
        edge.phone(PHONES[0]) as bob,
        edge.phone(PHONES[1]) as forged,
        Voice(PHONES[1], 0x0BAD) as victim,
    ):
        assert register(bob, BOB).status == 200
        lost = edge.node.counter("media_lost")
        call = dial(alice, f"{BOB_NUMBER}@a.example", body=caller.sdp)
        invite = bob.wait_request("INVITE")
        forged.send(bob.reply(invite, 200, "OK", body=victim.sdp))
        final = verdict(call)
        assert final.body == victim.sdp  # as it came: not the relay's
        assert edge.node.counter("media_lost") == lost + 1
        bob.wait_request("ACK")
        forged.send(bob.back("UPDATE", invite, cseq=1, body=victim.sdp))
        assert forged.final().start == "SIP/2.0 503 Media Relay Unavailable"
        assert alice.silent()
        alice.send(alice.within("BYE", final, cseq=9))
        confirm(bob)
        assert alice.final().status == 200
        edge.node.kamcmd("ul.rm", "location", f"s:{BOB}")


def test_a_phone_with_ice_and_several_addresses_is_heard(edge: Edge, voices: tuple[Voice, Voice]) -> None:
    """The first address is where its messages come from; of the others nobody has answered."""
    caller, called = voices
    others = "".join(f"a=candidate:{n} 1 UDP {n} {at} {caller.way.port} typ host\r\n" for n, at in enumerate(NETWORKS))
    with edge.phone(CALLER) as alice:
        call = dial(alice, f"{ABROAD}@a.example", body=f"{caller.sdp}{ICE}{others}")
        invite = edge.acme.wait_request("INVITE")
        assert _is_relayed(invite.body, caller)
        edge.acme.send(edge.acme.reply(invite, 200, "OK", body=called.sdp))
        final = verdict(call)
        edge.acme.wait_request("ACK")
        exchange(Side(caller, way_of(final.body)), Side(called, way_of(invite.body)), PACKETS)
        end_by_caller(edge, alice, final)


def test_nobody_can_have_sound_sent_to_the_commands_of_the_relay(
    edge: Edge, relay: Rtpengine, voices: tuple[Voice, Voice]
) -> None:
    """Not even who calls from the machine of the relay: neither the port nor that beside RTP."""
    caller, _ = voices
    lost = edge.node.counter("media_lost")
    with edge.phone("127.0.0.1") as alice:
        for port in (relay.port, relay.port - 1, 5060, 1023):
            call = dial(alice, f"{ABROAD}@a.example", body=_naming("127.0.0.1", port))
            assert verdict(call).start == "SIP/2.0 503 Media Relay Unavailable"
        assert edge.acme.silent()

        call = dial(alice, f"{ABROAD}@a.example", body=caller.sdp)
        invite = edge.acme.wait_request("INVITE")
        edge.acme.send(edge.acme.reply(invite, 200, "OK", body=_naming("127.0.0.1", relay.port)))
        final = verdict(call)  # as it came: not the relay's
        edge.acme.wait_request("ACK")
        assert way_of(final.body) == Way("127.0.0.1", relay.port)
        assert edge.node.counter("media_lost") == lost + 5
        end_by_caller(edge, alice, final)


def test_who_has_spoken_is_listened_to_alone(edge: Edge, voices: tuple[Voice, Voice]) -> None:
    caller, called = voices
    with edge.phone(CALLER) as alice, Voice("127.0.0.99", 0x0BAD) as stranger:
        invite, final = let_talk(edge, alice, caller, called)
        exchange(Side(caller, way_of(final.body)), Side(called, way_of(invite.body)), PACKETS)
        until(lambda: _is_deaf_to(stranger, caller, called, invite, final), SOON_S, "the relay to know who speaks")
        end_by_caller(edge, alice, final)


def test_who_does_not_ask_for_the_relay_keeps_his_description(edge: Edge, voices: tuple[Voice, Voice]) -> None:
    caller, called = voices
    with edge.phone(CALLER) as carol:
        invite, final = let_talk(edge, carol, caller, called, CAROL)
        assert (invite.body, final.body) == (caller.sdp, called.sdp)
        exchange(Side(caller, called.way), Side(called, caller.way), PACKETS)
        end_by_caller(edge, carol, final)


def _naming(host: str, port: int) -> str:
    return f"v=0\r\no=- 1 1 IN IP4 {host}\r\ns=-\r\nc=IN IP4 {host}\r\nt=0 0\r\nm=audio {port} RTP/AVP 8\r\n"


@contextmanager
def _at(host: str, port: int) -> Iterator[socket.socket]:
    with socket.socket(socket.AF_INET, socket.SOCK_DGRAM) as taken:
        taken.bind((host, port))
        taken.settimeout(SOON_S)
        yield taken


def _is_deaf_to(stranger: Voice, caller: Voice, called: Voice, invite: Message, final: Message) -> bool:
    """Tell whether a packet of the caller's arrives, and one of the stranger's before it does not."""
    called.heard()
    stranger.say(way_of(final.body))
    heard: set[int] = set()

    def is_there() -> bool:
        caller.say(way_of(final.body))
        called.say(way_of(invite.body))
        heard.update(each.who for each in called.heard())
        return caller.who in heard

    until(is_there, SOON_S, "a packet of the caller's")
    return stranger.who not in heard


def _provisional(phone: Endpoint, status: int) -> Message:
    while (message := phone.receive()).status != status:
        assert message.status == 100, message
    return message


def _is_relayed(sdp: str, voice: Voice) -> bool:
    """Tell whether a description names the relay, and nothing of where the sound came from."""
    way = way_of(sdp)
    return way == Way("127.0.0.1", way.port) and way.port in PORTS and voice.way.host not in sdp
