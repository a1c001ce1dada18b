"""Hostile requests inside a call, on a real Kamailio: what ends a call in our books ends it on the wire, and no other.

The caller has an address of its own, so that a node can tell the two sides apart.
"""

from __future__ import annotations

import re
from collections.abc import Iterator

import pytest

from tests.edge import SOON_S, Edge, running_edge
from tests.edge_world import set_credit
from tests.fakes.world import ABROAD, BOB_NUMBER, CUSTOMER
from tests.sip import SDP, Call, Endpoint, Message, dial, digest, parse, register, tag, uri
from tests.wait import until

CALLER = "127.0.0.2"
LONG_S = 8.0
ODD_CONTACT = re.compile("populate_leg_info|could not add further info")  # Kamailio complains and goes on


@pytest.fixture(scope="module")
def edge() -> Iterator[Edge]:
    """Run one node with short slices and little ringing for all tests of this file."""
    with running_edge({"TANDEM_SLICE_S": "2", "TANDEM_RING_MAX_S": "3", "TANDEM_GRACE_S": "2"}) as running:
        yield running


@pytest.fixture
def phone(edge: Edge) -> Iterator[Endpoint]:
    """Give the caller's endpoint; after the test nothing may be held any more, and Python may not have failed."""
    before = len(edge.node.alarms)
    with edge.phone(CALLER) as endpoint:
        yield endpoint
    until(lambda: edge.leases() == 0, LONG_S, "all leases to be gone")
    assert edge.node.counter("exceptions") == 0, edge.node.alarms
    assert [line for line in edge.node.alarms[before:] if not ODD_CONTACT.search(line)] == []
    for carrier in (edge.acme, edge.bell):
        drained(carrier, 0.05)


def drained(endpoint: Endpoint, quiet_s: float = 0.3) -> list[Message]:
    """Return all that comes until nothing comes for a while."""
    found = []
    while True:
        try:
            found.append(endpoint.receive(quiet_s))
        except TimeoutError:
            return found


def methods(messages: list[Message]) -> list[str]:
    return [message.method for message in messages if not message.status]


def talking(edge: Edge, phone: Endpoint) -> tuple[Message, Message]:
    """Return the INVITE that the carrier got and the 200 that the caller got."""
    call = dial(phone, f"{ABROAD}@a.example")
    invite = edge.acme.wait_request("INVITE")
    edge.acme.send(edge.acme.reply(invite, 200, "OK", body=SDP))
    final = call.final()
    edge.acme.wait_request("ACK")
    return invite, final


def confirm(endpoint: Endpoint, deadline_s: float = SOON_S) -> Message:
    """Answer the BYE that comes."""
    bye = endpoint.wait_request("BYE", deadline_s)
    endpoint.send(endpoint.reply(bye, 200, "OK"))
    return bye


def hang_up(edge: Edge, phone: Endpoint, final: Message, cseq: int = 50) -> None:
    phone.send(phone.within("BYE", final, cseq=cseq))
    confirm(edge.acme)
    assert phone.final().status == 200


def refused(phone: Endpoint, text: str) -> int:
    phone.send(text)
    return phone.final().status


def foreign_call_id(text: str) -> str:
    return text.replace("Call-ID: ", "Call-ID: foreign-")


def other_from_tag(text: str) -> str:
    return re.sub(r"(From: [^\r]*;tag=)", r"\1x", text)


def other_to_tag(text: str) -> str:
    return re.sub(r"(To: [^\r]*;tag=)", r"\1x", text)


@pytest.mark.parametrize("spoil", [foreign_call_id, other_from_tag, other_to_tag])
@pytest.mark.parametrize("method", ["BYE", "INFO"])
def test_a_token_with_another_call_id_or_tag_reaches_and_ends_nothing(
    edge: Edge, phone: Endpoint, spoil: object, method: str
) -> None:
    _, final = talking(edge, phone)

    assert callable(spoil)
    assert refused(phone, spoil(phone.within(method, final, cseq=5))) == 481

    assert edge.acme.silent()
    assert edge.events(final.get("Call-ID")) == []
    hang_up(edge, phone, final)
    assert edge.event(final.get("Call-ID")).end.ended_by == "caller"


@pytest.mark.parametrize("cseq", [1, 2])
def test_a_bye_with_a_low_cseq_ends_nothing(edge: Edge, phone: Endpoint, cseq: int) -> None:
    """The INVITE had 2; the other side would refuse this BYE and talk on, unpaid."""
    _, final = talking(edge, phone)

    assert refused(phone, phone.within("BYE", final, cseq=cseq)) == 500

    assert edge.acme.silent()
    assert edge.events(final.get("Call-ID")) == []
    hang_up(edge, phone, final)


@pytest.mark.parametrize("method", ["BYE", "INFO", "INVITE", "UPDATE"])
def test_a_request_inside_a_call_goes_to_the_other_side_whatever_its_uri(
    edge: Edge, phone: Endpoint, method: str
) -> None:
    _, final = talking(edge, phone)
    with edge.phone() as sink:
        text = phone.within(method, final, cseq=5)
        phone.send(text.replace(f"{method} {edge.acme.contact}", f"{method} {sink.contact}", 1))
        got = edge.acme.wait_request(method)
        edge.acme.send(edge.acme.reply(got, 200, "OK"))
        assert got.ruri == edge.acme.contact
        assert phone.final().status == 200
        assert sink.silent()
    if method == "INVITE":
        phone.send(phone.within("ACK", final, cseq=5).replace(edge.acme.contact, "sip:778@127.0.0.3", 1))
        assert edge.acme.wait_request("ACK").ruri == edge.acme.contact
    if method != "BYE":
        hang_up(edge, phone, final)
    assert edge.event(final.get("Call-ID")).end.ended_by == "caller"


def test_a_bye_by_another_route_ends_the_call_on_both_sides(edge: Edge, phone: Endpoint) -> None:
    _, final = talking(edge, phone)
    with edge.phone() as sink:
        text = phone.within("BYE", final, cseq=5)
        phone.send(text.replace("\r\nContent-Length", f"\r\nRoute: <{sink.contact};lr>\r\nContent-Length", 1))
        assert phone.final().status == 200
        assert confirm(edge.acme).ruri == edge.acme.contact
        confirm(phone)
        assert sink.silent()
    assert edge.event(final.get("Call-ID")).end.ended_by == "caller"


def test_a_bye_that_the_other_side_refuses_is_followed_by_ours(edge: Edge, phone: Endpoint) -> None:
    _, final = talking(edge, phone)
    phone.send(phone.within("BYE", final, cseq=5))
    first = edge.acme.wait_request("BYE")
    edge.acme.send(edge.acme.reply(first, 500, "Out Of Order"))
    assert phone.final().status == 500

    second = confirm(edge.acme)

    assert int(second.get("CSeq").split()[0]) > 5
    assert second.ruri == edge.acme.contact
    assert methods(drained(edge.acme, 1.5)) == []
    assert edge.event(final.get("Call-ID")).end.outcome == "answered"


def test_a_bye_that_the_other_side_never_hears_is_followed_by_ours(edge: Edge, phone: Endpoint) -> None:
    _, final = talking(edge, phone)
    phone.send(phone.within("BYE", final, cseq=5))
    bye = unheard = edge.acme.wait_request("BYE")
    while bye.get("CSeq") == "5 BYE":
        bye = edge.acme.wait_request("BYE")
    edge.acme.send(edge.acme.reply(bye, 200, "OK"))

    assert bye.get("CSeq") == "6 BYE"
    edge.acme.send(edge.acme.reply(unheard, 481, "No Such Call"))
    assert phone.final().status == 481
    assert edge.event(final.get("Call-ID")).end.outcome == "answered"


def test_a_bye_in_the_name_of_the_other_side_ends_the_call_there_too(edge: Edge, phone: Endpoint) -> None:
    invite, final = talking(edge, phone)
    forged = edge.acme.back("BYE", invite, cseq=7).replace(
        f"127.0.0.1:{edge.acme.port};branch", f"{CALLER}:{phone.port};branch"
    )
    phone.send(forged)
    confirm(phone)

    assert confirm(edge.acme).ruri == edge.acme.contact
    assert edge.event(final.get("Call-ID")).end.ended_by == "callee"
    for message in drained(phone, 1.2):
        if not message.status:
            phone.send(phone.reply(message, 200, "OK"))


def short_of_money(edge: Edge, version: int) -> None:
    """Leave the customer three seconds."""
    charged = next(b.charged_micros for b in edge.balances() if b.fund == "5:EUR")
    set_credit(edge.writer, CUSTOMER, charged + 2500, version=version)


VERSION = iter(range(2, 100))


@pytest.fixture
def poor(edge: Edge) -> Iterator[None]:
    """Let the caller's money last for three seconds."""
    short_of_money(edge, next(VERSION))
    yield
    set_credit(edge.writer, CUSTOMER, 1_000_000_000, version=next(VERSION))


def ended_by_money(edge: Edge, phone: Endpoint, final: Message) -> Message:
    """Wait for our BYEs; return the carrier's."""
    to_carrier = confirm(edge.acme, LONG_S)
    confirm(phone)
    assert edge.event(final.get("Call-ID")).end.ended_by == "money"
    return to_carrier


@pytest.mark.usefixtures("poor")
def test_the_caller_cannot_move_the_other_side(edge: Edge, phone: Endpoint) -> None:
    invite, final = talking(edge, phone)
    with edge.phone(CALLER) as sink:
        forged = edge.acme.back("UPDATE", invite, cseq=7).replace(edge.acme.contact, sink.contact)
        phone.send(forged.replace(f"127.0.0.1:{edge.acme.port};branch", f"{CALLER}:{phone.port};branch"))
        got = phone.wait_request("UPDATE")
        phone.send(phone.reply(got, 200, "OK"))

        assert ended_by_money(edge, phone, final).ruri == edge.acme.contact
        assert sink.silent()


@pytest.mark.usefixtures("poor")
def test_our_bye_is_above_every_cseq_seen(edge: Edge, phone: Endpoint) -> None:
    _, final = talking(edge, phone)
    phone.send(phone.within("INFO", final, cseq=2_000_000_000))
    info = edge.acme.wait_request("INFO")
    edge.acme.send(edge.acme.reply(info, 200, "OK"))
    assert phone.final().status == 200
    assert refused(phone, phone.within("INFO", final, cseq=3)) == 500
    assert refused(phone, phone.within("INFO", final, cseq=2**31 - 1)) == 500

    assert ended_by_money(edge, phone, final).get("CSeq") == "2000000001 BYE"


@pytest.mark.usefixtures("poor")
def test_our_bye_that_is_refused_is_repeated_with_a_higher_cseq(edge: Edge, phone: Endpoint) -> None:
    _, final = talking(edge, phone)
    first = edge.acme.wait_request("BYE", LONG_S)
    edge.acme.send(edge.acme.reply(first, 500, "Out Of Order"))

    second = ended_by_money(edge, phone, final)

    assert (first.get("CSeq"), second.get("CSeq")) == ("3 BYE", "4 BYE")


@pytest.mark.usefixtures("poor")
@pytest.mark.parametrize(
    "contact",
    [
        "",
        "Contact: <sip:x@nohost.invalid>\r\n",
        "Contact: <sip:\xff\xfe@127.0.0.1:9>\r\n",
        "Contact: <sips:x@127.0.0.1:9>\r\n",
        "Contact: <sip:x@127.0.0.1:9;transport=tls>\r\n",
        "Contact: *\r\n",
    ],
)
def test_our_bye_finds_its_way_without_a_contact(edge: Edge, phone: Endpoint, contact: str) -> None:
    dial(phone, f"{ABROAD}@a.example")
    invite = edge.acme.wait_request("INVITE")
    answer = edge.acme.reply(invite, 200, "OK", body=SDP)
    edge.acme.send(answer.replace(f"Contact: <{edge.acme.contact}>\r\n", contact, 1).encode("latin-1"))
    final = phone.final()
    routes = "".join(f"Route: {route}\r\n" for route in reversed(final.all("Record-Route")))
    ack = phone.within("ACK", final, cseq=2).replace("ACK  SIP", "ACK sip:x@127.0.0.1 SIP", 1)
    assert routes
    phone.send(re.sub(r"^ACK \S+ ", "ACK sip:x@127.0.0.1 ", ack))
    edge.acme.wait_request("ACK")

    ended_by_money(edge, phone, final)


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


@pytest.mark.parametrize("method", ["INVITE", "MESSAGE", "OPTIONS", "REGISTER", "BYE", "ACK", "REFER", "INFO"])
def test_the_token_of_a_call_that_is_over_opens_nothing(edge: Edge, phone: Endpoint, method: str) -> None:
    _, final = talking(edge, phone)
    hang_up(edge, phone, final)
    text = phone.within(method, final, cseq=60)
    with edge.phone() as sink:
        for ruri in (edge.acme.contact, sink.contact):
            phone.send(
                text.replace(f"{method} {edge.acme.contact}", f"{method} {ruri}", 1).replace(
                    "branch=", "branch=z9hG4bKx"
                )
            )
            if method != "ACK":
                assert phone.final().status == 481
        assert sink.silent()
    assert edge.acme.silent()
    with edge.phone() as stranger:
        route = f"Route: {final.get('Record-Route')}"
        stranger.send(stranger.request(method, edge.acme.contact, to_tag="zzz", extra=(route,)))
        assert method == "ACK" or stranger.final().status == 481
    assert edge.acme.silent()


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


def test_credentials_and_identities_stay_here_inside_a_call_too(edge: Edge, phone: Endpoint) -> None:
    _, final = talking(edge, phone)
    extra = (
        'Proxy-Authorization: Digest username="leak"',
        'Authorization: Digest username="leak"',
        "P-Asserted-Identity: <sip:+441@x>",
        "P-Preferred-Identity: <sip:+441@x>",
        "Remote-Party-ID: <sip:+441@x>",
        "Diversion: <sip:+441@x>",
        "History-Info: <sip:+441@x>",
        "X-Tandem-Rid: 1",
        "X-Other: yours",
    )
    for cseq, method in enumerate(("INFO", "BYE"), start=5):
        phone.send(phone.within(method, final, cseq=cseq, extra=extra))
        got = edge.acme.wait_request(method)
        edge.acme.send(edge.acme.reply(got, 200, "OK"))
        assert phone.final().status == 200
        assert [name for line in extra[:-1] if (name := line.partition(":")[0]) if got.get(name)] == []
        assert got.get("X-Other") == "yours"
        assert uri(got.get("From")) == "sip:+442070000001@a.example"


@pytest.mark.parametrize("status", [401, 407])
def test_a_challenge_inside_a_call_is_not_passed_on(edge: Edge, phone: Endpoint, status: int) -> None:
    _, final = talking(edge, phone)
    phone.send(phone.within("INFO", final, cseq=5))
    got = edge.acme.wait_request("INFO")
    challenge = ('WWW-Authenticate: Digest realm="c", nonce="n"', 'Proxy-Authenticate: Digest realm="c", nonce="n"')
    edge.acme.send(edge.acme.reply(got, status, "Who Are You", extra=challenge))

    answer = phone.final()

    assert (answer.status, answer.get("WWW-Authenticate"), answer.get("Proxy-Authenticate")) == (403, "", "")
    hang_up(edge, phone, final)


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
