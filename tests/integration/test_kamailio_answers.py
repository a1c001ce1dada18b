"""Answers at the wrong time: late, twice, after a CANCEL, of two calls with one Call-ID: never a free call."""

from __future__ import annotations

from collections.abc import Iterator

import pytest

from tests.dialogs import LONG_S, SHORT, confirm, drained, hang_up, one_caller, talking
from tests.edge import SOON_S, Edge, running_edge
from tests.fakes.world import ABROAD, BOB_NUMBER
from tests.sip import SDP, Call, Endpoint, Message, dial, digest, parse, register, tag
from tests.wait import until


@pytest.fixture(scope="module")
def edge() -> Iterator[Edge]:
    """Run one node for all tests of this file."""
    with running_edge(SHORT) as running:
        yield running


@pytest.fixture
def phone(edge: Edge) -> Iterator[Endpoint]:
    """Give the caller's endpoint; nothing may be left after the test."""
    with one_caller(edge) as endpoint:
        yield endpoint


def authenticated(phone: Endpoint, callee: str, cseq: int, like: Message | None = None) -> str:
    """Return an INVITE with credentials, of the dialog of `like` when given."""
    ruri = f"sip:{callee}@a.example"
    phone.send(first := phone.request("INVITE", ruri))
    challenge = phone.final()
    phone.ack(first, challenge)
    answer = digest(
        challenge.get("Proxy-Authenticate"),
        username="alice",
        password="correct horse",
        method="INVITE",
        digest_uri=ruri,
    )
    same = {"call_id": like.get("Call-ID"), "from_tag": tag(like.get("From"))} if like else {}
    return phone.request("INVITE", ruri, cseq=cseq, extra=(f"Proxy-Authorization: {answer}",), body=SDP, **same)


def test_two_calls_with_one_call_id_keep_their_own_prices(edge: Edge, phone: Endpoint) -> None:
    """The first one rings, the second makes Kamailio's dialog forget it, the first is answered: unpaid."""
    first = authenticated(phone, ABROAD, 2)
    phone.send(first)
    invites = [edge.acme.wait_request("INVITE")]
    edge.acme.send(edge.acme.reply(invites[0], 180, "Ringing", to_tag="one"))
    second = authenticated(phone, "33140000001", 3, parse(first.encode()))
    phone.send(second)
    invites.append(edge.acme.wait_request("INVITE"))
    edge.acme.send(edge.acme.reply(invites[1], 180, "Ringing", to_tag="two"))
    drained(phone)

    edge.acme.send(edge.acme.reply(invites[0], 200, "OK", to_tag="one", body=SDP))
    final = phone.final()
    phone.send(phone.within("ACK", final, cseq=2))
    edge.acme.wait_request("ACK")
    edge.acme.send(edge.acme.reply(invites[1], 486, "Busy Here", to_tag="two"))
    phone.ack(second, phone.final())
    drained(edge.acme)
    phone.send(phone.within("BYE", final, cseq=4))
    confirm(edge.acme)
    assert phone.final().status == 200

    call_id = final.get("Call-ID")
    until(lambda: len(edge.events(call_id)) == 2, SOON_S, "both events")
    ends = {event.call.callee: event.end.outcome for event in edge.events(call_id)}
    assert ends == {ABROAD: "answered", "33140000001": "failed"}


def ended_leg(carrier: Endpoint) -> None:
    """Expect that the carrier's late 200 is acknowledged, and its leg ended."""
    ack, bye = carrier.wait_request("ACK"), confirm(carrier)
    assert (ack.ruri, bye.ruri) == (carrier.contact, carrier.contact)
    assert tag(bye.get("To")) == tag(ack.get("To"))


def test_a_200_after_a_cancel_and_silence_is_ended_and_reaches_nobody(edge: Edge, phone: Endpoint) -> None:
    call = dial(phone, f"{ABROAD}@a.example")
    invite = edge.acme.wait_request("INVITE")
    call.cancel()
    statuses = [phone.final(LONG_S).status for _ in range(2)]
    phone.ack(call.invite, Message("SIP/2.0 487 x", parse(call.invite.encode()).headers, ""))
    until(lambda: edge.leases() == 0, LONG_S, "the hold to be gone")
    drained(edge.acme)

    edge.acme.send(edge.acme.reply(invite, 200, "OK", body=SDP))
    ended_leg(edge.acme)

    assert sorted(statuses) == [200, 487]
    assert [m for m in drained(phone) if m.status == 200 and m.method == "INVITE"] == []


def test_a_second_200_of_another_phone_is_ended(edge: Edge, phone: Endpoint) -> None:
    invite, final = talking(edge, phone)

    edge.acme.send(edge.acme.reply(invite, 200, "OK", body=SDP, to_tag="second"))
    ended_leg(edge.acme)

    assert phone.silent()
    hang_up(edge, phone, final)


def test_a_200_of_the_first_carrier_after_the_second_answered_is_ended(edge: Edge, phone: Endpoint) -> None:
    call = dial(phone, f"{ABROAD}@a.example")
    first = edge.acme.wait_request("INVITE")
    second = edge.bell.wait_request("INVITE")
    drained(edge.acme)
    edge.bell.send(edge.bell.reply(second, 200, "OK", body=SDP))
    final = call.final()
    edge.bell.wait_request("ACK")

    edge.acme.send(edge.acme.reply(first, 200, "OK", body=SDP))
    ended_leg(edge.acme)

    phone.send(phone.within("BYE", final, cseq=5))
    confirm(edge.bell)
    assert edge.event(final.get("Call-ID")).end.server_id == 41


def test_a_503_that_crosses_the_cancel_is_a_cancelled_call(edge: Edge, phone: Endpoint) -> None:
    call = dial(phone, f"{ABROAD}@a.example")
    invite = edge.acme.wait_request("INVITE")
    call.cancel()
    assert phone.final().method == "CANCEL"
    edge.acme.send(edge.acme.reply(invite, 503, "No Circuits"))

    final = call.final()

    assert final.status == 487
    assert edge.bell.silent()
    event = edge.event(parse(call.invite.encode()).get("Call-ID"))
    assert (event.end.outcome, event.end.status) == ("cancelled", 487)


def test_who_hangs_up_before_the_ack_has_hung_up(edge: Edge, phone: Endpoint) -> None:
    dial(phone, f"{ABROAD}@a.example")
    invite = edge.acme.wait_request("INVITE")
    edge.acme.send(edge.acme.reply(invite, 200, "OK", body=SDP))
    final = phone.final()
    hang_up(edge, phone, final)

    assert edge.event(final.get("Call-ID")).end.ended_by == "caller"


def ringing(edge: Edge, phone: Endpoint) -> tuple[Call, Message, Message]:
    """Return a call that rings, the INVITE that the carrier got and the 180 that the caller got."""
    call = dial(phone, f"{ABROAD}@a.example")
    invite = edge.acme.wait_request("INVITE")
    edge.acme.send(edge.acme.reply(invite, 180, "Ringing"))
    progress = phone.receive()
    while progress.status != 180:
        progress = phone.receive()
    return call, invite, progress


def test_a_bye_while_it_rings_reaches_who_rings_and_the_call_is_released(edge: Edge, phone: Endpoint) -> None:
    call, invite, progress = ringing(edge, phone)
    phone.send(phone.within("BYE", progress, cseq=3))
    confirm(edge.acme)
    assert phone.final().status == 200
    edge.acme.send(edge.acme.reply(invite, 487, "Request Terminated"))

    assert call.final().status == 487
    assert edge.event(invite.get("Call-ID")).end.billed_s == 0


def test_an_answer_after_a_bye_while_it_rang_is_no_free_call(edge: Edge, phone: Endpoint) -> None:
    """Whether the call counts as over or goes on: what is talked is billed, and it can be ended."""
    _, invite, progress = ringing(edge, phone)
    phone.send(phone.within("BYE", progress, cseq=3))
    confirm(edge.acme)
    assert phone.final().status == 200
    edge.acme.send(edge.acme.reply(invite, 200, "OK", body=SDP))
    answers = [message for message in drained(phone) if message.method == "INVITE" and message.status == 200]
    if answers:
        phone.send(phone.within("BYE", answers[0], cseq=4))
    confirm(edge.acme)

    assert edge.event(invite.get("Call-ID")).end.outcome == ("answered" if answers else "cancelled")


def forwarded(message: str | Message, to_pop: str = "") -> str:
    """Return what a proxy passes on, as text. to_pop: its own address, whose Via it takes off a reply."""
    assert isinstance(message, Message)
    lines = [
        f"{name}: {value}" for name, value in message.headers if not (to_pop and to_pop in value and name == "Via")
    ]
    return "\r\n".join([message.start, *lines, "", message.body])


def test_a_call_that_a_carrier_sends_back_is_two_calls_which_end_together(edge: Edge, phone: Endpoint) -> None:
    """Same Call-ID and tags, twice through us: each pass has its own token, dialog and sides."""
    with edge.phone("127.1.4.7") as carrier, edge.phone("127.0.0.4") as bob:
        assert register(bob, "bob@a.example").status == 200
        call = dial(phone, f"{ABROAD}@a.example")
        invite = edge.acme.wait_request("INVITE")
        via = f"Via: SIP/2.0/UDP {carrier.host}:{carrier.port};branch=z9hG4bKback;rport"
        start, rest = forwarded(invite).split("\r\n", 1)
        back = f"{start.replace(invite.ruri, f'sip:{BOB_NUMBER}@tandem.example')}\r\n{via}\r\n{rest}"
        carrier.send(back)
        inner = bob.wait_request("INVITE")
        bob.send(bob.reply(inner, 200, "OK", body=SDP))
        passed = carrier.final()
        edge.acme.send(forwarded(passed, f"{carrier.host}:{carrier.port}"))
        final = call.final()
        assert len(final.all("Record-Route")) + final.get("Record-Route").count(",") == 2
        bob.wait_request("ACK")

        phone.send(phone.within("BYE", final, cseq=5))
        confirm(bob)
        assert phone.final().status == 200
        register(bob, "bob@a.example", expires_s=0)

        call_id = final.get("Call-ID")
        until(lambda: len(edge.events(call_id)) == 2, SOON_S, "both events")
        assert [event.end.ended_by for event in edge.events(call_id)] == ["caller", "caller"]
        assert bob.silent(1.2)


def test_who_rings_has_nothing_to_end(edge: Edge, phone: Endpoint) -> None:
    """A BYE before the answer is nobody's business (RFC 3261 §15): the caller hears nothing of it, the call goes on."""
    call = dial(phone, f"{ABROAD}@a.example")
    invite = edge.acme.wait_request("INVITE")
    edge.acme.send(edge.acme.reply(invite, 180, "Ringing", to_tag="early"))
    drained(phone)

    edge.acme.send(edge.acme.back("BYE", invite, cseq=5, to_tag="early"))

    assert edge.acme.final().status == 481
    assert phone.silent()
    edge.acme.send(edge.acme.reply(invite, 200, "OK", to_tag="early", body=SDP))
    final = call.final()
    assert final.status == 200
    edge.acme.wait_request("ACK")
    hang_up(edge, phone, final)
