"""What somebody hostile sends to a real Kamailio, and that it opens nothing."""

from __future__ import annotations

from collections.abc import Iterator

import pytest

from tests.edge import Edge, running_edge
from tests.fakes.world import ABROAD, BOB_NUMBER
from tests.sip import PASSWORD, SDP, Call, Endpoint, Message, dial, digest, parse, register, tag, uri

ALICE, BOB = "sip:alice@a.example", "bob@a.example"
RURI = f"sip:{ABROAD}@a.example"
ACME_IP = "127.1.4.7"  # as edge_world.welcome says


@pytest.fixture(scope="module")
def edge() -> Iterator[Edge]:
    """Run one node."""
    with running_edge({"TANDEM_SLICE_S": "2", "TANDEM_RING_MAX_S": "3", "TANDEM_GRACE_S": "2"}) as running:
        yield running


@pytest.fixture
def phone(edge: Edge) -> Iterator[Endpoint]:
    """Give the attacker's endpoint; after the test nothing is held, and Python has not failed."""
    with edge.phone() as endpoint:
        yield endpoint
    edge.wait_idle()
    assert edge.node.counter("exceptions") == 0, edge.node.alarms


def challenged(phone: Endpoint, **parts: str) -> tuple[Message, Message]:
    """Send an INVITE without credentials; return it and its challenge."""
    first = phone.request("INVITE", RURI, caller=ALICE, body=SDP, **parts)  # type: ignore[arg-type]
    phone.send(first)
    challenge = phone.final()
    phone.ack(first, challenge)
    assert challenge.status == 407
    return parse(first.encode()), challenge


def credentials(challenge: Message, nc: int = 1, password: str = PASSWORD) -> str:
    value = challenge.get("Proxy-Authenticate")
    return digest(value, username="alice", password=password, method="INVITE", digest_uri=RURI, nc=nc)


def again(phone: Endpoint, sent: Message, *headers: str, cseq: int = 2) -> Call:
    """Send the call once more with these lines, in a transaction of its own."""
    call_id, from_tag = sent.get("Call-ID"), tag(sent.get("From"))
    text = phone.request(
        "INVITE", RURI, caller=ALICE, call_id=call_id, from_tag=from_tag, cseq=cseq, body=SDP, extra=headers
    )
    phone.send(text)
    return Call(phone, text)


def refused(call: Call) -> int:
    return call.final().status


def bring_to_an_end(edge: Edge, call: Call, invite: Message) -> None:
    edge.acme.send(edge.acme.reply(invite, 486, "Busy Here"))
    edge.acme.wait_request("ACK")
    assert call.final().status == 486


def drained(endpoint: Endpoint) -> list[Message]:
    """Return what has come to an endpoint until it falls silent."""
    found = []
    while True:
        try:
            found.append(endpoint.receive(0.3))
        except TimeoutError:
            return found


def test_a_merged_request_does_not_ride_on_the_first_ones_hold(edge: Edge, phone: Endpoint) -> None:
    """Same Call-ID, From tag, CSeq, source and R-URI with another branch: 482, one hold, one call, one record."""
    sent, challenge = challenged(phone)
    first = again(phone, sent, f"Proxy-Authorization: {credentials(challenge)}")
    invite = edge.acme.wait_request("INVITE")
    assert phone.receive().status == 100

    second = again(phone, sent, f"Proxy-Authorization: {credentials(challenge, nc=2)}")

    assert refused(second) == 482
    assert edge.leases() == 1, "the first call keeps its hold"
    assert edge.acme.silent()
    bring_to_an_end(edge, first, invite)
    assert edge.event(sent.get("Call-ID")).end.status == 486


@pytest.mark.parametrize(
    "contact",
    [
        f"<sip:{ABROAD}@{ACME_IP}:5060>",
        f"<sip:{ABROAD}@{ACME_IP}:9>, <sip:ua@127.0.0.1:9>",
        "<sip:ua@phone.example>",
        "<sips:ua@127.0.0.1:9>",
        "<tel:+33140000000>",
        "<sip:ua@0.0.0.0:5060>",
    ],
)
def test_a_contact_that_is_no_phone_is_not_registered(edge: Edge, phone: Endpoint, contact: str) -> None:
    assert registered(phone, contact) == 403
    assert not_reached(edge)


def test_our_own_address_is_not_registered(edge: Edge, phone: Endpoint) -> None:
    host, port = edge.node.address
    for contact in (f"<sip:{ABROAD}@{host}:{port}>", f"<sip:x@{host}:{port};transport=tcp>"):
        assert registered(phone, contact) == 403
    assert not_reached(edge)


@pytest.mark.parametrize("name", ["Contact", "m"])
def test_a_contact_behind_another_is_seen(edge: Edge, phone: Endpoint, name: str) -> None:
    assert registered(phone, "<sip:ua@127.0.0.1:9>", f"{name}: <sip:{ABROAD}@{ACME_IP}>") == 403
    assert not_reached(edge)


def test_a_contact_that_leads_elsewhere_is_malformed(edge: Edge, phone: Endpoint) -> None:
    for contact in (f"<sip:ua@127.0.0.1:9;maddr={ACME_IP}>", f"<sip:ua@127.0.0.1:9>;received=sip:{ACME_IP}"):
        assert answer_to_register(phone, contact) == 400
    assert not_reached(edge)


def test_a_phone_is_registered_and_found(edge: Edge, phone: Endpoint) -> None:
    with edge.phone() as desk:
        assert register(desk, BOB).status == 200
        call = dial(phone, f"{BOB_NUMBER}@a.example")
        invite = desk.wait_request("INVITE")
        desk.send(desk.reply(invite, 486, "Busy Here"))
        desk.wait_request("ACK")
        assert call.final().status == 486
        assert register(desk, BOB, expires_s=0).status == 200


def answer_to_register(phone: Endpoint, contact: str, *headers: str, credential: str = "", cseq: int = 1) -> int:
    """Send one REGISTER of bob with this Contact; return its answer."""
    return send_register(phone, contact, *headers, credential=credential, cseq=cseq).status


def send_register(phone: Endpoint, contact: str, *headers: str, credential: str = "", cseq: int = 1) -> Message:
    extra = (*headers, *((f"Authorization: {credential}",) if credential else ()))
    text = phone.request("REGISTER", "sip:a.example", caller=f"sip:{BOB}", callee=f"sip:{BOB}", cseq=cseq, extra=extra)
    phone.send(text.replace(f"<{phone.contact}>", contact))
    return phone.final()


def registered(phone: Endpoint, contact: str, *headers: str) -> int:
    """Register bob with this Contact and the right password; return the last answer."""
    challenge = send_register(phone, contact, *headers)
    assert challenge.status == 401
    credential = digest(
        challenge.get("WWW-Authenticate"),
        username="bob",
        password=PASSWORD,
        method="REGISTER",
        digest_uri="sip:a.example",
    )
    return answer_to_register(phone, contact, *headers, credential=credential, cseq=2)


def not_reached(edge: Edge) -> bool:
    """Tell whether bob has no contact."""
    with edge.phone() as caller:
        return dial(caller, f"{BOB_NUMBER}@a.example").final().status == 480


@pytest.mark.parametrize(
    "line", ["Subject: a\rP-Asserted-Identity: <sip:1@x>", "Subject: a\nP-Asserted-Identity: <sip:1@x>", "X: a\r\rb: c"]
)
def test_a_header_hidden_behind_a_lone_break_does_not_pass(edge: Edge, phone: Endpoint, line: str) -> None:
    sent, challenge = challenged(phone)

    call = again(phone, sent, line, f"Proxy-Authorization: {credentials(challenge)}")

    assert refused(call) == 400
    assert edge.acme.silent()


def test_nobody_without_a_password_fills_the_table_of_nonces(edge: Edge, phone: Endpoint) -> None:
    """A nonce of ours is free for the asking; counts and client nonces are the client's to invent."""
    before = edge.node.kamcmd("htable.dump", "nonce").count("value:")
    sent, challenge = challenged(phone)
    good = credentials(challenge, password="a guess")
    for cseq, value in enumerate(
        (good, good.replace("nc=00000001", "nc=0000000f"), good.replace("nc=00000001", f"nc={'9' * 900}")), 2
    ):
        assert refused(again(phone, sent, f"Proxy-Authorization: {value}", cseq=cseq)) == 407
    nowhere = good.replace("a.example", "nowhere.example")
    text = phone.request("INVITE", RURI, caller="sip:a@nowhere.example", extra=(f"Proxy-Authorization: {nowhere}",))
    phone.send(text)
    assert refused(Call(phone, text)) == 403

    assert edge.node.kamcmd("htable.dump", "nonce").count("value:") == before


def test_a_replayed_response_is_challenged(edge: Edge, phone: Endpoint) -> None:
    sent, challenge = challenged(phone)
    header = f"Proxy-Authorization: {credentials(challenge)}"
    first = again(phone, sent, header)
    bring_to_an_end(edge, first, edge.acme.wait_request("INVITE"))

    second = again(phone, sent, header, cseq=3).final()

    assert second.status == 407
    assert "stale=true" in second.get("Proxy-Authenticate")


def test_among_two_proxies_answers_ours_is_found(edge: Edge, phone: Endpoint) -> None:
    sent, challenge = challenged(phone)
    other = 'Proxy-Authorization: Digest username="x", realm="other.example", nonce="n", uri="sip:x", response="y"'

    call = again(phone, sent, other, f"proxy-authorization : {credentials(challenge)}")

    invite = edge.acme.wait_request("INVITE")
    assert not invite.get("Proxy-Authorization")
    bring_to_an_end(edge, call, invite)


def test_two_answers_for_our_realm_are_none(edge: Edge, phone: Endpoint) -> None:
    sent, challenge = challenged(phone)
    good, guess = credentials(challenge), credentials(challenge, password="a guess")

    for cseq, pair in enumerate(((good, guess), (guess, good)), 2):
        call = again(phone, sent, *(f"Proxy-Authorization: {value}" for value in pair), cseq=cseq)
        answer = call.final()
        assert answer.status == 407
        assert "stale" not in answer.get("Proxy-Authenticate")
    assert edge.acme.silent()


def test_an_anonymous_caller_stays_so_towards_carrier_and_phone(edge: Edge, phone: Endpoint) -> None:
    """All Privacy headers count, and neither side headers nor the Contact say who calls."""
    lines = (
        "Privacy: none",
        "Privacy: id",
        "History-Info: <sip:joe@x>;index=1",
        "P-Charge-Info: <sip:joe@x>",
        "Identity: joe",
        "y: joe",
        "Referred-By: <sip:joe@x>",
        "b: <sip:joe@x>",
        "Reply-To: <sip:joe@x>",
        "Organization: Joe Ltd",
        "Subject: of joe",
        "User-Agent: joe/1",
    )
    with edge.phone() as desk:
        assert register(desk, BOB).status == 200
        for callee, other in ((ABROAD, edge.acme), (BOB_NUMBER, desk)):
            call = dial_as_joe(phone, callee, lines)
            invite = other.wait_request("INVITE")
            other.send(other.reply(invite, 486, "Busy Here"))
            other.wait_request("ACK")
            call.final()
            told = "\n".join(f"{name}: {value}" for name, value in invite.headers).lower()
            assert "joe" not in told, told
            assert uri(invite.get("From")) == "sip:anonymous@anonymous.invalid"
            assert invite.all("Contact") == [f"<sip:{phone.host}:{phone.port}>"]
        assert register(desk, BOB, expires_s=0).status == 200


def dial_as_joe(phone: Endpoint, callee: str, lines: tuple[str, ...]) -> Call:
    """Call with these lines and a Contact that tells a name."""

    class Named(Endpoint):
        """The same socket; its requests have another Contact."""

        def __init__(self) -> None:
            self.__dict__.update(phone.__dict__)

        def request(self, *arguments: object, **parts: object) -> str:
            text = phone.request(*arguments, **parts)  # type: ignore[arg-type]
            return text.replace(
                f"Contact: <{phone.contact}>", f'Contact: "Joe <x>" <{phone.contact}>;+sip.instance="joe"'
            )

    return dial(Named(), f"{callee}@a.example", extra=lines)


def test_what_belongs_to_nothing_is_told_so(phone: Endpoint) -> None:
    for method in ("CANCEL", "BYE", "INFO", "UPDATE", "PRACK"):
        phone.send(phone.request(method, RURI))
        assert phone.final().status == 481, method
    phone.send(phone.request("SUBSCRIBE", RURI))
    answer = phone.final()
    assert answer.status == 405
    assert "INVITE" in answer.get("Allow")
    phone.send(phone.request("ACK", RURI))
    assert drained(phone) == []


def test_an_unknown_extension_is_refused_by_name(phone: Endpoint) -> None:
    for method in ("INVITE", "REGISTER", "OPTIONS"):
        text = phone.request(method, RURI, extra=("Proxy-Require: privacy-of-mine",))
        phone.send(text)
        answer = phone.final()
        if method == "INVITE":
            phone.ack(text, answer)
        assert (answer.status, answer.get("Unsupported")) == (420, "privacy-of-mine"), method
    phone.send(phone.request("CANCEL", RURI, extra=("Proxy-Require: privacy-of-mine",)))
    assert phone.final().status == 481, "RFC 3261 §8.2.2.3: no CANCEL is refused for an extension"


def test_a_callback_run_by_the_noc_breaks_nothing(edge: Edge, phone: Endpoint) -> None:
    before = len(edge.node.alarms)
    for callback in ("ksr_request_route", "ksr_branch", "ksr_failure", "ksr_dialog_event", "noc"):
        edge.node.kamcmd("evrexec.run", callback, "s:nothing in particular")
    assert edge.node.noc("status")["draining"] is False
    phone.send(phone.request("OPTIONS", RURI))
    assert phone.final().status == 200
    assert edge.node.alarms[before:] == []
